//! What a `config.pbtxt` becomes, and what is said about the rest.

use std::path::Path;

use proptest::prelude::{ProptestConfig, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy as _};
use unruffled_model::{DType, Dim, Signature, TensorSpec};

use crate::Error;
use crate::config::{ModelConfig, StepAsks, StepFeed, Versions};

fn parse(text: &str) -> Result<ModelConfig, Error> {
    super::parse(text, Path::new("m/config.pbtxt"), "m", &|name| match name {
        "labels.txt" => Ok("cat\ndog\n".into()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    })
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = parse(text).unwrap_err().to_string();
    assert_eq!(error.strip_prefix("m/config.pbtxt:").unwrap_or(&error), expected);
}

/// What is noted, in short.
#[track_caller]
fn noted(text: &str, expected: &[&str]) {
    let notes = parse(text).unwrap().notes;
    let told: Vec<_> = notes.iter().map(|note| format!("{} {}", note.line, note.key)).collect();
    assert_eq!(told, expected);
    assert!(notes.iter().all(|note| !note.why.is_empty()));
}

const WHOLE: &str = r#"
# A model with everything that has its place here.
name: "m"
platform: 'onnxruntime' "_onnx"
backend: "onnxruntime";
max_batch_size: 8,
default_model_filename: "best.onnx"
input [
  { name: "image" data_type: TYPE_FP32 dims: [ 3, -1, 0x20 ] },
  { name: "mask", data_type: TYPE_BOOL, dims: [] }
]
output < name: "class" data_type: TYPE_FP32 dims: 2 label_filename: "labels.txt" >
instance_group [ { count: 2 kind: KIND_CPU }, { kind: KIND_AUTO } ]
dynamic_batching { default_queue_policy { max_queue_size: 100 allow_timeout_override: true } }
version_policy: { specific: { versions: [1, 3] } }
response_cache { enable: true }
parameters { key: "intra_op_thread_count" value: { string_value: "4" } }
model_warmup { name: "first" batch_size: 1 count: 3 }
model_warmup { name: "second" batch_size: 1 }
model_transaction_policy { decoupled: false }
"#;

#[test]
fn all_that_has_its_place_is_taken() {
    let config = parse(WHOLE).unwrap();
    let run = config.run;
    let numbers = [run.instances, run.max_batch, run.queue_items, run.threads];
    assert_eq!(numbers.map(|number| number.map(usize::from)), [Some(3), Some(8), Some(100), Some(4)]);
    assert_eq!((run.warm_up, run.one_by_one, config.cache.is_some()), (Some(4), false, true));
    assert_eq!(config.versions, Versions::These(vec![1, 3]));
    assert_eq!(config.model_file.as_deref(), Some("best.onnx"));
    let signature = config.declared().unwrap();
    let told: Vec<_> = signature.inputs.iter().chain(&signature.outputs).map(ToString::to_string).collect();
    assert_eq!(told, ["image: f32 [?, 3, ?, 32]", "mask: bool", "class: f32 [?, 2]"]);
    assert_eq!(config.output("class").unwrap().labels.as_deref().unwrap(), ["cat", "dog"]);
    assert_eq!(config.notes, []);
}

#[test]
fn nothing_said_is_what_triton_does_then() {
    let config = parse("").unwrap();
    assert_eq!(
        (config.versions, config.run.one_by_one, config.run.max_batch),
        (Versions::Latest(1), false, None)
    );
    assert_eq!(config.model_file.as_deref(), Some("model.onnx"));
    let whole = parse("input { name: 'x' data_type: TYPE_INT64 dims: [ 1, 4 ] }").unwrap();
    assert!(whole.run.one_by_one, "without a batch, requests are not joined");
    assert_eq!(whole.declared().unwrap().inputs[0].to_string(), "x: i64 [1, 4]");
    let latest = |text: &str| parse(text).unwrap().versions;
    assert_eq!(latest("version_policy { latest { num_versions: 2 } }"), Versions::Latest(2));
    assert_eq!(latest("version_policy { all {} }"), Versions::All);
}

#[test]
fn what_has_no_effect_is_told_with_its_line() {
    noted(
        "optimization { graph { level: 1 } }\nmetric_tags { key: 'a' value: 'b' }",
        &["1 optimization", "2 metric_tags"],
    );
    noted(
        "dynamic_batching {\npreferred_batch_size: [ 4, 8 ]\nmax_queue_delay_microseconds: 100\npriority_levels: 3 }",
        &[
            "2 dynamic_batching.preferred_batch_size",
            "3 dynamic_batching.max_queue_delay_microseconds",
            "4 dynamic_batching.priority_levels",
        ],
    );
    noted(
        "dynamic_batching { default_queue_policy {\n timeout_action: DELAY\n default_timeout_microseconds: 5 } }",
        &[
            "2 dynamic_batching.default_queue_policy.timeout_action",
            "3 dynamic_batching.default_queue_policy.default_timeout_microseconds",
        ],
    );
    noted(
        "instance_group {\n kind: KIND_GPU\n gpus: [ 0, 1 ] }",
        &["2 instance_group.kind", "3 instance_group.gpus"],
    );
    noted(
        "parameters { key: 'enable_mem_arena' value { string_value: '0' } }",
        &["1 parameters.enable_mem_arena"],
    );
    noted("model_warmup { inputs { key: 'x' value { random_data: true } } }", &["1 model_warmup.inputs"]);
    let note = parse("\nmetric_tags {}").unwrap().notes.remove(0).to_string();
    assert_eq!(note, "line 2: `metric_tags` has no effect: metrics are labelled with model and version");
}

#[test]
fn what_cannot_be_kept_is_refused_with_line_and_remedy() {
    let check = refused;
    check(
        "name: 'other'",
        "1: `name`: is \"other\", and the folder is \"m\"; a model is called as its folder is: give both one name",
    );
    check(
        "\nbackend: 'python'",
        "2: `backend`: runs a TritonPythonModel, which is not run here; make its `execute` the `predict` of a class `Model` \
         in a model.py, and take the config.pbtxt away",
    );
    check(
        "platform: 'tensorrt_plan'",
        "1: `platform`: \"tensorrt_plan\" does not run models here; convert the model to ONNX, and write backend: \
         \"onnxruntime\"",
    );
    check("platform: 'ensemble'", "1: `platform`: is an ensemble without steps; add `ensemble_scheduling`");
    check(
        "input {\n name: 'x'\n dims: [ 4 ]\n reshape { shape: [ 2, 3 ] } }",
        "4: `input.reshape`: has other elements than `dims`; as many sizes must be -1 in both, and the others have one product",
    );
    check(
        "input { name: 'x'\nallow_ragged_batch: true }",
        "2: `input.allow_ragged_batch`: joins requests whose shapes differ, which needs a batch_input; take it out: such \
         requests are run one by one",
    );
    for (field, start) in [
        (
            "batch_input { kind: BATCH_ELEMENT_COUNT }",
            "gives the model a tensor that says how requests were joined",
        ),
        ("batch_output {}", "takes outputs apart by how requests were joined"),
        ("model_operations { op_library_filename: 'lib.so' }", "loads operators from a library"),
        (
            "model_repository_agents { agents { name: 'checksum' } }",
            "changes the files before they are loaded",
        ),
    ] {
        let error = parse(field).unwrap_err();
        assert!(error.message().starts_with(start) && error.line() == Some(1), "{error}");
    }
    check(
        "model_transaction_policy {\n decoupled: true }",
        "2: `model_transaction_policy.decoupled`: an ONNX model gives one answer to one request; take it out, or write a \
         model.py that yields",
    );
    check(
        "version_policy { specific {} }",
        "1: `version_policy`: names 0 versions; 1 to 16 of a model are served",
    );
    check(
        "default_model_filename: '../best.onnx'",
        "1: `default_model_filename`: \"../best.onnx\" is not the name of a file in the folder of a version",
    );
    check(
        "output { name: 'y' label_filename: '/etc/passwd' }",
        "1: `output.label_filename`: \"/etc/passwd\" is not the name of a file in the model's own folder",
    );
    check(
        "output { name: 'y' label_filename: 'gone.txt' }",
        "1: `output.label_filename`: cannot read \"gone.txt\": entity not found; put it beside config.pbtxt",
    );
}

#[test]
fn values_that_make_no_sense_are_refused() {
    let check = refused;
    check("max_batch_size: -1", "1: `max_batch_size`: is -1; it must be 0 or more");
    check("max_batch_size: eight", "1: `max_batch_size`: is not a number");
    check("max_batch_size: 1.5", "1: `max_batch_size`: `1.5` is not a whole number that can be used here");
    check(
        "max_batch_size: -0x-8000000000000000",
        "1: `max_batch_size`: `-0x-8000000000000000` is not a whole number that can be used here",
    );
    check("max_batch_size: 1\nmax_batch_size: 2", "2: `max_batch_size`: is in line 1 already; say it once");
    check("name: 7", "1: `name`: is not a text; write it in quotation marks");
    check("input: 'x'", "1: `input`: is not a message; write `{ ... }`");
    check("input { dims: 1 }", "1: `input`: has no name; add that of the model's own");
    check("input { name: 'x' dims: 0 }", "1: `input.dims`: is 0; a dimension has a size, or -1 for any");
    check(
        "input { name: 'x' data_type: FP32 }",
        "1: `input.data_type`: unknown type FP32; expected one such as TYPE_FP32, or TYPE_STRING",
    );
    check("input { name: 'x' }\ninput { name: 'x' }", "2: `inputs.x`: is in line 1 already; say it once");
    check(
        "\n\nmax_batchsize: 8",
        "3: `max_batchsize`: is no field that is known here; correct it, or take it out",
    );
    check(
        "dynamic_batching { delay: 3 }",
        "1: `dynamic_batching.delay`: is no field that is known here; correct it, or take it out",
    );
}

#[test]
fn text_that_is_none_is_refused_where_it_ends_to_be_one() {
    let check = refused;
    check("input {\n name: 'x'", "2: ends where `}` is expected");
    check("input {\n name: 'x' >", "2: `>` where `}` is expected");
    check("}", "1: `}` closes nothing");
    check("name 'm'", "1: `\\'` where `:` or `{` after `name` is expected");
    check("name: \"m\n", "1: a text does not end on its line; close it");
    check("name: \"\\q\"", "1: a text has a `\\` that means nothing; write `\\\\`");
    check("name: '\\400'", "1: a text names no byte");
    check("name: '\\xff'", "1: a text is not UTF-8");
    check("# nothing\n\n= 3", "3: `=` where the name of a field is expected");
    check("dims: [ 1 2 ]", "1: `2` where `,` or `]` is expected");
    check("dims: -", "1: ends where a number is expected");
    check(&"a {".repeat(100), "1: messages lie more than 16 deep in each other");
    check(&" ".repeat(300_000), "1: is 300000 bytes long; 262144 are read at most");
    assert_eq!(parse("name: '\\155\\x00'").unwrap_err().message().split(',').next(), Some("is \"m\\0\""));
    assert!(parse("name: \"\\u006d\" # its name").is_ok());
}

const STATE: &str = "
sequence_batching {
  direct {}
  state [ {
    input_name: 'state' output_name: 'stateN' data_type: TYPE_FP32 dims: [ 2, -1, 128 ]
    initial_state { data_type: TYPE_FP32 dims: [ 2, 1, 128 ] zero_data: true name: 'first' }
  } ]
  control_input [
    { name: 'READY' control [ { kind: CONTROL_SEQUENCE_READY fp32_false_true: [ 0, 1 ] } ] },
    { name: 'START' control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 5, 7 ] } ] }
  ]
}";

#[test]
fn a_state_is_what_sessions_keep() {
    let config = parse(STATE).unwrap();
    let spec = &config.sequence.as_ref().unwrap().spec;
    let fed: Vec<_> = spec.feedback().iter().map(|fed| (&*fed.output, &*fed.input)).collect();
    assert_eq!(fed, [("stateN", "state")]);
    let default = |name: &str| config.input(name).unwrap().default.clone().unwrap();
    assert_eq!((default("state").value, default("state").shape), (0.0, Some(vec![2, 1, 128])));
    assert_eq!((default("READY").value, default("READY").shape), (1.0, None));
    assert_eq!(default("START").value, 7.0);
    assert_eq!(config.foreign.as_ref().unwrap().starts, [("START".into(), 5.0)]);
    let batched = parse(&format!("max_batch_size: 4 {STATE}")).unwrap();
    let shape = batched.input("state").unwrap().default.as_ref().unwrap().shape.clone();
    assert_eq!(shape, Some(vec![1, 2, 1, 128]));
}

#[test]
fn what_a_session_cannot_tell_its_model_is_refused() {
    let check = refused;
    check(
        "sequence_batching {\n control_input { name: 'ID'\n control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT64 } } }",
        "3: `sequence_batching.control_input.control`: tells the model something of its sequence that it does not hear here \
         (CONTROL_SEQUENCE_CORRID); export it without that input: it is told of the first call, and is given its `state`",
    );
    check(
        "sequence_batching { control_input { name: 'S' control { int32_false_true: 1 } } }",
        "1: `sequence_batching.control_input.control`: needs two values, for false and for true",
    );
    check(
        "sequence_batching { max_sequence_idle_microseconds: 5000000 }",
        "1: `sequence_batching`: names no `state`, and an ONNX model keeps nothing by itself; add the outputs that are \
         inputs of the next call, or take it out",
    );
    check(
        "sequence_batching { state { input_name: 's' output_name: 't'\n initial_state { data_file: 'zeros' } } }",
        "2: `sequence_batching.state.initial_state.data_file`: reads the first state from a file, which is not done here; \
         use zero_data, and have the model make its first state of zeros",
    );
    check(
        &format!("input {{ name: 'state' }} {STATE}"),
        "4: `sequence_batching.state`: `state` is an input or a state already; callers give a state no value",
    );
    noted(
        "sequence_batching { state { input_name: 's' output_name: 't' }\noldest { max_candidate_sequences: 4 }\n\
         max_sequence_idle_microseconds: 5 }",
        &[
            "2 sequence_batching.oldest.max_candidate_sequences",
            "3 sequence_batching.max_sequence_idle_microseconds",
        ],
    );
}

const ENSEMBLE: &str = r#"
platform: "ensemble"
max_batch_size: 1
input [ { name: "TEXT" data_type: TYPE_STRING dims: [ 1 ] } ]
output [ { name: "VECTOR" data_type: TYPE_FP32 dims: [ 384 ] } ]
ensemble_scheduling {
  step [
    {
      model_name: "tokens.v1"
      model_version: -1
      input_map { key: "text" value: "TEXT" }
      output_map { key: "ids" value: "IDS" }
    },
    {
      model_name: "bert"
      input_map { key: "input_ids" value: "IDS" }
      output_map { key: "pooled" value: "VECTOR" }
    }
  ]
}
"#;

#[test]
fn an_ensemble_is_a_pipeline() {
    let config = parse(ENSEMBLE).unwrap();
    let pipeline = config.pipeline.as_deref().unwrap();
    let value = |value: &str| StepFeed::Value(value.into());
    let steps: Vec<_> =
        pipeline.steps.iter().map(|step| (&*step.name, &step.asks, &step.inputs[0])).collect();
    let asks = |name: &str| StepAsks::Model(name.into());
    assert_eq!(
        steps,
        [
            ("tokens-v1", &asks("tokens.v1"), &("text".into(), value("input.TEXT"))),
            ("bert", &asks("bert"), &("input_ids".into(), value("tokens-v1.ids"))),
        ]
    );
    assert_eq!(pipeline.outputs, [("VECTOR".into(), "bert.pooled".into())]);
    assert_eq!(config.declared().unwrap().inputs[0].to_string(), "TEXT: bytes [?, 1]");
}

#[test]
fn an_ensemble_that_hangs_together_by_nothing_is_refused() {
    let check = |from: &str, to: &str, expected: &str| refused(&ENSEMBLE.replace(from, to), expected);
    check(
        "value: \"IDS\" }\n      output_map { key: \"pooled\"",
        "value: \"IDZ\" }\n      output_map { key: \"pooled\"",
        "16: `ensemble_scheduling.step.input_map`: `IDZ` is neither an input of the ensemble nor in the output_map of a step",
    );
    check(
        "value: \"VECTOR\"",
        "value: \"IDS\"",
        "17: `ensemble_scheduling.step.output_map`: `IDS` is `tokens-v1.ids` already; give it another name",
    );
    check(
        "value: \"VECTOR\"",
        "value: \"OTHER\"",
        "5: `output`: `VECTOR` is neither an input of the ensemble nor in the output_map of a step",
    );
    check(
        "model_version: -1",
        "model_version: 3",
        "10: `ensemble_scheduling.step.model_version`: asks version 3; a step asks the version that answers: write -1, and \
         in that model's version_policy `specific { versions: [3] }`",
    );
    check(
        "max_batch_size: 1",
        "instance_group { count: 2 }",
        "3: `instance_group`: is for a model of its own, and an ensemble asks others; say it there",
    );
    check(
        "platform: \"ensemble\"",
        "backend: \"onnxruntime\"",
        "2: `backend`: has steps, so it is an ensemble; write platform: \"ensemble\"",
    );
    refused("ensemble_scheduling {}", "1: `ensemble_scheduling`: has no step; add the models that it asks");
}

#[test]
fn settings_are_held_against_the_model() {
    let spec = |name: &str, dims: &[Dim]| TensorSpec::new(name, DType::F32, dims);
    let batch = || Dim::Symbolic("n".into());
    let signature = |first: Dim| Signature {
        inputs: vec![spec("x", &[first, Dim::Fixed(4)])],
        outputs: vec![spec("y", &[batch(), Dim::Fixed(2)])],
    };
    let check = |text: &str, first: Dim, expected: Result<(), &str>| {
        let outcome = parse(text).unwrap().fit(&signature(first)).map_err(|error| error.to_string());
        let expected = expected.map_err(|expected| format!("m/config.pbtxt:{expected}"));
        assert_eq!(outcome, expected);
    };
    let port = |kind: &str, name: &str, dims: &str| {
        format!("\n{kind} {{ name: '{name}' data_type: TYPE_FP32 dims: {dims} }}")
    };
    let batched = |ports: &str| format!("max_batch_size: 8{ports}");
    check(&batched(&port("input", "x", "[4]")), batch(), Ok(()));
    check(&port("input", "x", "[-1, 4]"), batch(), Ok(()));
    check(
        &batched(&port("input", "x", "[-1, 4]")),
        batch(),
        Err(
            "2: `inputs.x`: is x: f32 [?, ?, 4], and the model has x: f32 [n, 4]; dims leave the batch out, since \
             max_batch_size is not 0",
        ),
    );
    check(
        &port("input", "x", "[4]"),
        batch(),
        Err(
            "2: `inputs.x`: is x: f32 [4], and the model has x: f32 [n, 4]; dims are whole shapes, since max_batch_size is 0",
        ),
    );
    check(
        &port("output", "z", "[2]"),
        batch(),
        Err("2: `outputs.z`: there is no such output; the model has `y`"),
    );
    check(
        &batched(""),
        Dim::Fixed(1),
        Err(
            "1: `max_batch_size`: the model's input x: f32 [1, 4] has no dimension in front that could be a batch; write 0",
        ),
    );
    check(
        "input { name: 'x'\noptional: true }",
        batch(),
        Err(
            "1: `inputs.x`: is optional, and the model has no default for it; take `optional` out, or write a model.toml with \
             a default",
        ),
    );
    let labels = "output { name: 'y' data_type: TYPE_FP32 dims: [ -1, 2 ] label_filename: 'labels.txt' }";
    check(labels, batch(), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_is_too_much(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    /// What is nearly right gets further.
    #[test]
    fn no_pieces_are_too_much(pieces in proptest::collection::vec(prop_oneof![
        "[a-z_]{1,6}".boxed(),
        "[-+0-9xXeEf.]{1,8}".boxed(),
        "[\"'\\\\{}<>\\[\\]:,;#\n ]{1,3}".boxed(),
        proptest::sample::select(WHOLE.split_whitespace().collect::<Vec<_>>()).prop_map(str::to_owned).boxed(),
        proptest::sample::select(ENSEMBLE.split_whitespace().collect::<Vec<_>>()).prop_map(str::to_owned).boxed(),
        proptest::sample::select(STATE.split_whitespace().collect::<Vec<_>>()).prop_map(str::to_owned).boxed(),
        Just("input {".to_owned()).boxed(),
    ], 0..60)) {
        let _ = parse(&pieces.join(" "));
    }

    /// One change to what is right.
    #[test]
    fn no_change_is_too_much(at in 0..WHOLE.len(), with in "\\PC{0,3}", drop in 0..9_usize) {
        let end = (at + drop).min(WHOLE.len());
        if WHOLE.is_char_boundary(at) && WHOLE.is_char_boundary(end) {
            let _ = parse(&format!("{}{with}{}", &WHOLE[..at], &WHOLE[end..]));
        }
    }
}
