//! What `model.toml` accepts, and what it says about the rest.

use std::path::Path;
use std::time::Duration;

use unruffled_engine::{BreakerOptions, CacheOptions, PoolOptions};
use unruffled_model::{DType, Dim, SequenceSpec, Signature, TensorSpec};
use unruffled_steps::{Channels, Resize, Step};

use super::{Color, Decode, FallbackOrder, InputSource, Layout, ModelConfig};
use crate::error::Error;

fn parse(text: &str) -> Result<ModelConfig, Error> {
    let read = |name: &str| match name {
        "labels.txt" => Ok("a\n \n\nd\n".to_owned()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    ModelConfig::parse(text, Path::new("m/model.toml"), &read)
}

#[track_caller]
fn check_refused(text: &str, message: &str) {
    assert_eq!(parse(text).map(drop).unwrap_err().to_string(), message);
}

#[test]
fn everything_can_be_set() {
    let config = parse(
        "description = 'd'\nbackend = 'rten'\n[run]\ninstances = 2\nqueue_bytes = 7\n\
         instances_max = 4\ngrow_after_ms = 7\nshrink_after_ms = 8\nlease_idle_ms = 9\nwarm_up = 3\n\
         [inputs.x]\ndefault = 1\nshape = [2, 1]\n\
         [inputs.y.from]\nkind = 'image'\nheight = 48\ncolor = 'bgr'\nlayout = 'nhwc'\nmean = [1, 2.5, 3]\n\
         [outputs.'z.tmp_0']\nlabels = 'labels.txt'\ndecode = 'ctc'\ntop = 5\n",
    )
    .unwrap();
    assert_eq!(config.backend.as_deref(), Some("rten"));
    assert_eq!(config.run.instances.map(usize::from), Some(2));
    let options = config.run.pool_options();
    assert_eq!((options.instances(), options.instances_max(), options.warm_up()), (2, 4, 3));
    let ms = |ms| Some(Duration::from_millis(ms));
    let times = (config.run.grow_after, config.run.shrink_after, config.run.lease_idle_max);
    assert_eq!(times, (ms(7), ms(8), ms(9)));
    assert_eq!(config.defaults()[0].value, 1.0);
    let Some(InputSource::Image(image)) = &config.input("y").unwrap().from else {
        panic!("expected a picture")
    };
    assert_eq!((image.color, image.layout, image.width), (Color::Bgr, Layout::Nhwc, None));
    assert_eq!((image.scale, image.mean.as_slice()), (1.0, &[1.0, 2.5, 3.0][..]));
    let output = config.output("z.tmp_0").unwrap();
    assert_eq!((output.decode, output.top.get()), (Decode::Ctc, 5));
    assert_eq!(**output.labels.as_ref().unwrap(), ["a", " ", "", "d"].map(str::to_owned));
}

#[test]
fn what_other_runtimes_are_to_know() {
    let config = parse(
        "[onnxruntime]\nproviders = ['cuda', 'cpu']\n\
         [python]\ninterpreter = '../.venv'\ntrust_pickle = true\nmemory_bytes = 7\ncancel_grace_ms = 20\nrerun = false\n\
         [inputs.z]\ndtype = 'f32'\ndims = ['n', 4, '?']\n[inputs.a]\ndtype = 'bytes'\n[outputs.y]\ndtype = 'i64'\ndims = []\n",
    )
    .unwrap();
    assert_eq!(config.onnxruntime.providers, ["cuda", "cpu"]);
    assert_eq!(config.python.interpreter.as_deref(), Some(Path::new("m/../.venv")));
    assert!(config.python.trust_pickle && config.python.rerun == Some(false) && !config.python.reload);
    assert_eq!(config.python.cancel_grace, Some(Duration::from_millis(20)));
    let declared = config.declared().unwrap();
    let lines: Vec<_> = declared.inputs.iter().chain(&declared.outputs).map(ToString::to_string).collect();
    assert_eq!(
        lines,
        ["z: f32 [n, 4, ?]", "a: bytes", "y: i64 []"],
        "in the order in which they are written"
    );
    assert_eq!(
        parse("[python]\ninterpreter = 'python3.12'").unwrap().python.interpreter,
        Some("python3.12".into())
    );
    assert_eq!(parse("").unwrap().declared(), None);
    check_refused(
        "[inputs.x]\ndtype = 'float'\n",
        "m/model.toml:2: `inputs.x.dtype`: unknown type \"float\"; expected one of bool, u8, u16, u32, u64, i8, i16, i32, \
         i64, f16, bf16, f32, f64, bytes",
    );
    check_refused(
        "[outputs.x]\ndims = [1]\n",
        "m/model.toml:2: `outputs.x.dims`: are the dimensions of what? add its type: dtype = \"f32\"",
    );
    check_refused(
        "[inputs.x]\ndtype = 'f32'\ndims = [-1]\n",
        "m/model.toml:3: `inputs.x.dims`: a dimension is a size, a name, or \"?\" for any size",
    );
}

#[test]
fn a_step_stands_in_the_settings() {
    let config = parse(
        "[step]\nkind = 'resize'\nside_max = 960\nmultiple = 32\ncolor = 'bgr'\nmean = [0.5, 0.5, 0.5]\n\
         scale = 2\ninvert = true\n",
    );
    let expected = Resize {
        side_max: Some(960),
        multiple: 32,
        color: Channels::Bgr,
        mean: vec![0.5; 3],
        scale: 2.0,
        invert: true,
        ..Resize::default()
    };
    assert_eq!(config.unwrap().step.unwrap().step, Step::Resize(expected));
    check_refused(
        "[step]\ntop = 3\n",
        "m/model.toml:1: `step`: needs `kind`; expected one of tokenize, pool, decode-image, resize, text-boxes, crop, \
         ctc-text, top-k, decode-audio, frames, speech-segments, speech-gate",
    );
    check_refused(
        "license = 'MIT'\n[step]\nkind = 'top-k'\n\ntop = 0\n",
        "m/model.toml:5: `step.top`: is 0; expected a whole number from 1 to 4294967295",
    );
    check_refused(
        "[step]\nkind = 'top-k'\nk = 3\n",
        "m/model.toml:3: `step.k`: there is no such setting; the step has `top`, `labels`",
    );
    check_refused(
        "[step]\nkind = 'ctc-text'\n",
        "m/model.toml:1: `step`: `labels`: is missing; add labels = \"labels.txt\"",
    );
    check_refused(
        "[step]\nkind = 7\n",
        "m/model.toml:2: `step.kind`: is no kind of step; expected one of tokenize, pool, decode-image, resize, \
         text-boxes, crop, ctc-text, top-k, decode-audio, frames, speech-segments, speech-gate",
    );
    check_refused(
        "[step]\nkind = 'pool'\nnormalize = 2026-11-29\n",
        "m/model.toml:3: `step.normalize`: has a date, which steps have no use for",
    );
}

#[test]
fn an_empty_file_sets_nothing() {
    let config = parse("").unwrap();
    assert!(config.inputs.is_empty() && config.outputs.is_empty());
}

#[test]
fn refusals_name_file_line_and_key() {
    check_refused(
        "licence = 'MIT'",
        "m/model.toml:1: `licence`: unknown field `licence`, expected one of `description`, `license`, `source`, \
         `backend`, `run`, `cache`, `fallback`, `sequence`, `onnxruntime`, `python`, `step`, `inputs`, `outputs`",
    );
    check_refused(
        "[run]\n\nthreads = 0\n",
        "m/model.toml:3: `run.threads`: invalid value: integer `0`, expected a nonzero usize",
    );
    check_refused(
        "[run]\ninstances = 3\ninstances_max = 2\n",
        "m/model.toml:3: `run.instances_max`: is 2, less than the 3 of `instances`",
    );
    check_refused(
        "[inputs.x.from]\nkind = 'video'\n",
        "m/model.toml:2: `inputs.x.from.kind`: unknown kind \"video\"; expected \"image\", \"audio\" or \"file\"",
    );
    check_refused(
        "[inputs.x.from]\nkind = 'image'\nrate = 8000\n",
        "m/model.toml:3: `inputs.x.from.rate`: `rate` is for inputs of kind \"audio\"; this one is \"image\"",
    );
    check_refused(
        "[inputs.x.from]\nkind = 'image'\nmean = [0.5]\n",
        "m/model.toml:3: `inputs.x.from.mean`: has 1 numbers for 3 channels; give one for each",
    );
    check_refused(
        "[inputs.x.from]\nkind = 'image'\nlayout = 'nhw'\n",
        "m/model.toml:3: `inputs.x.from.layout`: \"nhw\" has no place for channels; set color = \"gray\", or take \
         \"nchw\" or \"nhwc\"",
    );
    check_refused(
        "[inputs.x.from]\nkind = 'audio'\n",
        "m/model.toml:2: `inputs.x.from.kind`: needs `rate`, the samples per second that the model expects: rate = 16000",
    );
    check_refused(
        "[inputs.x]\nshape = [1]\n",
        "m/model.toml:2: `inputs.x.shape`: is the shape of a default, and there is none; add `default = NUMBER`",
    );
    check_refused(
        "[outputs.y]\ndecode = 'ctc'\n",
        "m/model.toml:2: `outputs.y.decode`: needs labels; add labels = \"labels.txt\"",
    );
}

#[test]
fn labels_come_from_the_own_folder_only() {
    for name in ["../labels.txt", "/etc/passwd", "a/b", "..", "."] {
        check_refused(
            &format!("[outputs.y]\nlabels = '{name}'\n"),
            &format!(
                "m/model.toml:2: `outputs.y.labels`: \"{name}\" is not the name of a file in the model's own folder"
            ),
        );
    }
    check_refused(
        "[outputs.y]\nlabels = 'gone.txt'\n",
        "m/model.toml:2: `outputs.y.labels`: cannot read \"gone.txt\": entity not found; put it beside model.toml",
    );
}

#[test]
fn settings_must_fit_the_model() {
    let signature = Signature {
        inputs: vec![TensorSpec::new("x", DType::F32, [Dim::Any, Dim::Fixed(4)])],
        outputs: vec![TensorSpec::new("y", DType::F32, [Dim::Any, Dim::Fixed(10)])],
    };
    #[track_caller]
    fn check(signature: &Signature, text: &str, message: &str) {
        let error = parse(text).unwrap().fit(signature).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    check(
        &signature,
        "[inputs.z]\ndefault = 1",
        "m/model.toml: `inputs.z`: there is no such input; the model has `x`",
    );
    check(
        &signature,
        "[outputs.y]\nlabels = 'labels.txt'",
        "m/model.toml: `outputs.y`: 4 labels for 10 classes; there must be one line for each class",
    );
    check(
        &signature,
        "[outputs.y]\nlabels = 'labels.txt'\ndecode = 'ctc'",
        "m/model.toml: `outputs.y`: ctc needs [n, step, class]; the model gives y: f32 [?, 10]",
    );
    check(
        &signature,
        "[inputs.x.from]\nkind = 'image'",
        "m/model.toml: `inputs.x.from.layout`: makes 4 dimensions of a picture; the model takes x: f32 [?, 4]",
    );
}

#[test]
fn sequences_say_what_is_kept() {
    let config = parse("[sequence]\nstate = { next = 'state' }\noverlap = { x = 64 }\n").unwrap();
    let expected = SequenceSpec::new().with_state("next", "state").with_overlap("x", 64);
    assert_eq!(config.sequence.unwrap().spec, expected);
    assert_eq!(parse("[sequence]\n").unwrap().sequence, None);
    check_refused(
        "[sequence]\nstate = { a = 'state', b = 'state' }\n",
        "m/model.toml:2: `sequence.state`: feeds `state`, which another output is for already; an input has one past",
    );
    check_refused(
        "[sequence]\nstate = { a = 'x' }\noverlap = { x = 1 }\n",
        "m/model.toml:3: `sequence.overlap`: keeps a part of `x`, which an output is for already; an input has one past",
    );
    check_refused(
        "[sequence]\noverlap = { x = 0 }\n",
        "m/model.toml:2: `sequence.overlap`: invalid value: integer `0`, expected a nonzero usize",
    );
}

#[test]
fn what_is_kept_must_be_the_models() {
    let spec = |name: &str, last| TensorSpec::new(name, DType::F32, [Dim::Fixed(1), Dim::Fixed(last)]);
    let signature =
        Signature { inputs: vec![spec("x", 4), spec("state", 2)], outputs: vec![spec("next", 2)] };
    #[track_caller]
    fn check(signature: &Signature, text: &str, expected: Result<(), &str>) {
        let outcome = parse(text).unwrap().fit(signature).map_err(|error| error.to_string());
        assert_eq!(outcome.as_ref().map_err(String::as_str).copied(), expected);
    }
    check(&signature, "[sequence]\nstate = { next = 'state' }\noverlap = { x = 3 }\n", Ok(()));
    check(
        &signature,
        "[sequence]\n\nstate = { nxt = 'state' }\n",
        Err("m/model.toml:3: `sequence.state`: `nxt`: there is no such output; the model has `next`"),
    );
    check(
        &signature,
        "[sequence]\nstate = { next = 'x' }\n",
        Err(
            "m/model.toml:2: `sequence.state`: `next`: cannot become the input x: f32 [1, 4]: the output is next: f32 [1, 2]",
        ),
    );
    check(
        &signature,
        "[sequence]\noverlap = { x = 4 }\n",
        Err(
            "m/model.toml:2: `sequence.overlap`: `x`: cannot keep 4 of its 4 elements, and still have new ones",
        ),
    );
}

#[test]
fn caches_and_chains() {
    let config = parse(
        "[cache]\nbytes = 7\nttl_s = 60\n[fallback]\nchain = ['a', 'b']\norder = 'by-slack'\nbudget_ms = 80\n\
         breaker = { failure_rate = 0.25, open_ms = 100 }\n",
    )
    .unwrap();
    let cache = CacheOptions::default().with_bytes(7).with_ttl(Duration::from_secs(60));
    assert_eq!(config.cache, Some(cache));
    // A model from a file is not warmed up unless that is asked for.
    assert_eq!(config.pool_options(), PoolOptions::default().with_warm_up(0).with_cache(cache));
    let fallback = config.fallback.unwrap();
    assert_eq!((fallback.chain.len(), fallback.order), (2, FallbackOrder::BySlack));
    assert_eq!((fallback.budget, fallback.hedge_after), (Some(Duration::from_millis(80)), None));
    let breaker = BreakerOptions::default().with_failure_rate(0.25);
    let breaker = breaker.with_open(Duration::from_millis(100), Duration::from_secs(3));
    assert_eq!(fallback.breaker, breaker);
    assert_eq!(parse("").unwrap().cache, None);

    check_refused(
        "[fallback]\nchain = []",
        "m/model.toml:2: `fallback.chain`: names no model; name those to be asked, the best first",
    );
    check_refused(
        "[fallback]\nchain = ['a', 'a']",
        "m/model.toml:2: `fallback.chain`: names `a` twice; a model that has failed is not asked again",
    );
    check_refused(
        "[fallback]\nchain = ['a']\norder = 'any'",
        "m/model.toml:3: `fallback.order`: unknown order \"any\"; expected \"in-turn\", \"by-slack\" or \"race\"",
    );
    check_refused(
        "[fallback]\nchain = ['a']\n[fallback.breaker]\nfailure_rate = 2.0",
        "m/model.toml:4: `fallback.breaker.failure_rate`: is 2; expected a part of 1, above 0",
    );
}
