//! What is found out when a pipeline is built.

use unruffled_engine::{Engine, Pipeline, PipelineErrorKind as Kind, PipelineStep};
use unruffled_model::{DType, Tensor, TensorSpec, Tensors};

use super::{build, map, scripted, shown, specs, sum};

/// A model of this description that is never asked.
fn step(engine: &Engine, name: &str, inputs: &str, outputs: &str) -> PipelineStep {
    let model = scripted(inputs, outputs, |_| Ok(Tensors::new()));
    PipelineStep::new(name, build(engine, "m", model))
}

#[track_caller]
fn check(pipeline: &Pipeline, kind: Kind, text: &str) {
    let engine = Engine::new();
    let refused = engine.wrap_pipeline(pipeline).err().expect("it must be refused");
    assert_eq!((refused.kind(), refused.to_string().as_str()), (kind, text));
}

#[track_caller]
fn check_signature(pipeline: &Pipeline, inputs: &str, outputs: &str) {
    let engine = Engine::new();
    let handle = engine.wrap_pipeline(pipeline).unwrap_or_else(|error| panic!("{error}")).build().unwrap();
    let signature = handle.info().signature.clone();
    assert_eq!((shown(&signature.inputs).as_str(), shown(&signature.outputs).as_str()), (inputs, outputs));
    assert_eq!((&*handle.info().platform, handle.info().threads), ("pipeline", 0));
}

#[test]
fn what_it_takes_and_gives_follows_from_its_steps() {
    let engine = Engine::new();
    let tokens = || {
        step(&engine, "tokens", "text: bytes [n]", "ids: i64 [n s], mask: i64 [n s]")
            .input("text", "input.text")
    };
    let embed = || {
        step(
            &engine,
            "embed",
            "a: i64 [batch length], b: i64 [batch length]",
            "hidden: f32 [batch length 384]",
        )
        .input("a", "tokens.ids")
        .input("b", "tokens.mask")
    };
    let pipeline = Pipeline::new().step(embed()).step(tokens()).output("h", "embed.hidden");
    check_signature(&pipeline, "text: bytes [n]", "h: f32 [n s 384]");
    // Of two that have one name and nothing else in common, one is renamed.
    let other = step(&engine, "other", "x: f32 [n 2]", "y: f32 [n]").input("x", "input.x");
    check_signature(
        &pipeline.step(other).output("y", "other.y"),
        "text: bytes [n], x: f32 [n_2 2]",
        "h: f32 [n s 384], y: f32 [n_2]",
    );
}

#[test]
fn loops_change_shapes() {
    let engine = Engine::new();
    let read = || step(&engine, "read", "x: f32 [n 3 48 w]", "y: f32 [n t 97], z: f32 [2], s: f32 []");
    let pipeline = |read: PipelineStep| {
        Pipeline::new()
            .step(read.input("x", "input.x"))
            .output("y", "read.y")
            .output("z", "read.z")
            .output("s", "read.s")
    };
    check_signature(&pipeline(read()), "x: f32 [n 3 48 w]", "y: f32 [n t 97], z: f32 [2], s: f32 []");
    check_signature(
        &pipeline(read().each(["x"])),
        "x: f32 [n 3 48 w]",
        "y: f32 [n t 97], z: f32 [n_2], s: f32 [n]",
    );
    check_signature(
        &pipeline(read().each(["x"]).rows(4)),
        "x: f32 [n 3 48 w]",
        "y: f32 [n t 97], z: f32 [n_2], s: f32 [n_3]",
    );
    // A row may lose its first dimension where the model has none for it.
    let lone = step(&engine, "lone", "x: f32 [3]", "y: f32 [5]").input("x", "input.x").each(["x"]);
    check_signature(
        &Pipeline::new().step(lone).output("y", "lone.y").output("p", "lone.progress"),
        "x: f32 [n 3]",
        "y: f32 [n_2], p: i64 [2]",
    );
}

#[test]
fn inputs_may_be_declared() {
    let engine = Engine::new();
    let pipeline = || {
        Pipeline::new()
            .step(step(&engine, "s", "x: f32 [? ?]", "y: f32 [?]").input("x", "input.x"))
            .output("y", "s.y")
    };
    check_signature(&pipeline(), "x: f32 [? ?]", "y: f32 [?]");
    check_signature(&pipeline().input(specs("x: f32 [rows 4]").remove(0)), "x: f32 [rows 4]", "y: f32 [?]");
    let unused = pipeline().input(TensorSpec::new("z", DType::F32, []));
    check(&unused, Kind::Invalid, "`z`: no step takes this input; take it away");
    let twice = pipeline().input(specs("x: f32 [a b]").remove(0)).input(specs("x: f32 [a b]").remove(0));
    check(&twice, Kind::Duplicate, "`x`: is declared twice; take one away");
}

#[test]
fn names_must_be_known() {
    let engine = Engine::new();
    let a = || step(&engine, "a", "x: f32 [n]", "y: f32 [n]").input("x", "input.x");
    let b = |from: &str| step(&engine, "b", "x: f32 [n]", "y: f32 [n]").input("x", from);
    let with = |from: &str| Pipeline::new().step(a()).step(b(from)).output("y", "b.y");
    let unknown = Kind::UnknownName;
    check(&with("c.y"), unknown, "step `b`, `x`: `c.y`: there is no step `c`; there are `a`, `b`");
    check(&with("a.z"), unknown, "step `b`, `x`: `a.z`: model `m` gives no `z`; it gives `y`");
    check(&with("y"), unknown, "step `b`, `x`: `y` names no value; write input.NAME or STEP.NAME");
    check(
        &with("item.first"),
        unknown,
        "step `b`, `x`: there is no `item.first`; there are item.index and item.last",
    );
    check(
        &Pipeline::new().step(a()).output("y", "b.y"),
        unknown,
        "`y`: `b.y`: there is no step `b`; there are `a`",
    );
    check(
        &Pipeline::new().step(a()).output("y", "input.z"),
        unknown,
        "`y`: no step takes `input.z`: nothing says what it is",
    );
    let stray = a().input("z", "input.z");
    check(
        &Pipeline::new().step(stray).output("y", "a.y"),
        unknown,
        "step `a`, `z`: model `m` takes no such input; it takes `x`",
    );
    let nobody =
        Pipeline::new().step(PipelineStep::new("a", "nobody").input("x", "input.x")).output("y", "a.y");
    check(
        &nobody,
        Kind::UnknownModel,
        "step `a`: model `nobody`: there is no model of this name; load it first",
    );
}

#[test]
fn everything_is_given_once() {
    let engine = Engine::new();
    let a = || step(&engine, "a", "x: f32 [n], z: f32 [n]", "y: f32 [n]").input("x", "input.x");
    let with = |step: PipelineStep| Pipeline::new().step(step).output("y", "a.y");
    check(
        &with(a()),
        Kind::Missing,
        "step `a`, `z`: is not given; expected z: f32 [n]: say where it comes from",
    );
    check(&with(a().input("x", "input.z")), Kind::Duplicate, "step `a`, `x`: is given twice; take one away");
    let whole = || a().input("z", "input.z");
    check(&with(whole()).step(whole()), Kind::Duplicate, "step `a`: two steps have this name; rename one");
    check(&with(whole()).output("y", "a.y"), Kind::Duplicate, "`y`: is given twice; rename one");
    check(&Pipeline::new().step(whole()), Kind::Invalid, "gives nothing; add an output, such as STEP.NAME");
    check(&Pipeline::new(), Kind::Invalid, "a pipeline without steps; add one");
    let dotted = step(&engine, "a.b", "", "");
    check(
        &Pipeline::new().step(dotted).output("y", "a.y"),
        Kind::Invalid,
        "`a.b` cannot be a step's name: it has a dot or a slash; rename it",
    );
}

#[test]
fn circles_are_refused() {
    let engine = Engine::new();
    let of = |name: &str, from: &str| step(&engine, name, "x: f32 [n]", "y: f32 [n]").input("x", from);
    let pipeline =
        Pipeline::new().step(of("a", "c.y")).step(of("b", "a.y")).step(of("c", "b.y")).output("y", "c.y");
    check(&pipeline, Kind::Cycle, "step `a`: waits for itself: a <- c <- b <- a; cut the circle");
    check(
        &Pipeline::new().step(of("a", "a.y")).output("y", "a.y"),
        Kind::Cycle,
        "step `a`: waits for itself: a <- a; cut the circle",
    );
}

#[test]
fn types_and_shapes_must_fit() {
    let engine = Engine::new();
    let a = || step(&engine, "a", "x: f32 [n]", "y: f32 [n 4], i: i64 [n], s: f32 []").input("x", "input.x");
    let with = |inputs: &str, from: &str| {
        let b = step(&engine, "b", inputs, "y: f32 [n]").input("x", from);
        Pipeline::new().step(a()).step(b).output("y", "b.y")
    };
    let bad = Kind::Mismatch;
    check(&with("x: f32 [m 4]", "a.i"), bad, "step `b`, `x`: expected f32 [m, 4], but `a.i` is i64 [n]");
    check(&with("x: f32 [m]", "a.y"), bad, "step `b`, `x`: expected f32 [m], but `a.y` is f32 [n, 4]");
    check(&with("x: f32 [m 5]", "a.y"), bad, "step `b`, `x`: expected f32 [m, 5], but `a.y` is f32 [n, 4]");
    check(
        &with("x: f32 [m m]", "input.x"),
        bad,
        "step `b`, `x`: expected f32 [m, m], but `input.x` is f32 [n]",
    );
    // What follows from two steps together.
    let b =
        step(&engine, "b", "p: f32 [k], q: f32 [k 4]", "y: f32 [k]").input("p", "input.p").input("q", "a.y");
    let c =
        step(&engine, "c", "p: f32 [3], x: f32 [2]", "y: f32 []").input("p", "input.p").input("x", "input.x");
    check(
        &Pipeline::new().step(a()).step(b).step(c).output("y", "c.y"),
        bad,
        "step `c`, `x`: expected f32 [2], but `input.x` is f32 [3]",
    );
    let constant = step(&engine, "b", "x: f32 [2]", "y: f32 []").input("x", Tensor::scalar(1_f32));
    check(
        &Pipeline::new().step(constant).output("y", "b.y"),
        bad,
        "step `b`, `x`: expected f32 [2], but `a constant` is f32 []",
    );
}

#[test]
fn loops_must_make_sense() {
    let engine = Engine::new();
    let a = || step(&engine, "a", "x: f32 [n]", "y: f32 [n], s: f32 []").input("x", "input.x");
    let b = |from: &str| step(&engine, "b", "x: f32 [n], last: bool []", "y: f32 [n]").input("x", from);
    let with = |step: PipelineStep| Pipeline::new().step(a()).step(step).output("y", "b.y");
    let given = |from: &str| b(from).input("last", "item.last");
    check(
        &with(given("a.y")),
        Kind::Invalid,
        "step `b`, `last`: there are no items: the step is no loop; add `each` or `scan`",
    );
    check(
        &with(given("a.y").each(["z"])),
        Kind::UnknownName,
        "step `b`, `z`: repeats for an input that is not given; given are `x`, `last`",
    );
    check(
        &with(given("a.y").each(["last"])),
        Kind::Invalid,
        "step `b`, `last`: is a constant or says which item it is: there are no items of it",
    );
    check(
        &with(given("a.s").each(["x"])),
        Kind::Mismatch,
        "step `b`, `x`: `a.s` is a single value: it has no rows to repeat for",
    );
    check(
        &with(given("a.y").each::<&str>([])),
        Kind::Invalid,
        "step `b`: repeats for the items of nothing; name one of its inputs",
    );
    check(
        &with(b("a.y").input("last", "item.index").each(["x"])),
        Kind::Mismatch,
        "step `b`, `last`: expected last: bool [], but it is i64 [1]",
    );
    check(&with(b("a.y").rows(2)), Kind::Invalid, "step `b`: `rows` is for a loop; add `each` or `scan`");
    check(
        &with(given("a.y").scan(["x"]).in_flight(2)),
        Kind::Invalid,
        "step `b`: `in_flight` is for a loop whose items go side by side; add `each`",
    );
    check(
        &with(given("a.y").each(["x"]).carry("y", "x")),
        Kind::Invalid,
        "step `b`: carries something from item to item, which only a scan does; add `scan`",
    );
    let scan = |output: &str, input: &str| with(given("a.y").scan(["x"]).carry(output, input));
    check(&scan("z", "x"), Kind::UnknownName, "step `b`, `x`: cannot carry `z`: the model gives `y`");
    check(
        &scan("y", "x"),
        Kind::Duplicate,
        "step `b`, `x`: is carried, and given by something else as well; take one away",
    );
    let stated = step(&engine, "b", "x: f32 [1], state: f32 [?]", "y: f32 [2]")
        .input("x", "a.y")
        .scan(["x"])
        .carry("y", "state");
    check(
        &with(stated),
        Kind::Missing,
        "step `b`, `state`: nothing says what it begins with; expected state: f32 [?]: give a constant",
    );
}

#[test]
fn only_loops_emit() {
    let engine = Engine::new();
    let pipeline = |emitted: &'static str| {
        let a = PipelineStep::new("a", build(&engine, "m", map(|x| x))).input("x", "input.x");
        let b = PipelineStep::new("b", build(&engine, "m", map(|x| x))).input("x", "a.y").each(["x"]);
        let c = PipelineStep::new("c", build(&engine, "m", sum()))
            .input("a", "a.y")
            .input("b", "b.y")
            .each(["a", "b"]);
        let steps = Pipeline::new().step(a).step(b).step(c);
        steps.output("a", "a.y").output("b", "b.y").output("c", "c.y").emit(emitted.split(' '))
    };
    check(&pipeline("a"), Kind::Invalid, "`a`: cannot be emitted: `a.y` comes all at once, not from a loop");
    check(
        &pipeline("b c"),
        Kind::Invalid,
        "`c`: cannot be emitted: it comes from another loop than the others that are",
    );
    check(
        &pipeline("d"),
        Kind::UnknownName,
        "`d`: cannot be emitted: there is no such output; there are `a`, `b`, `c`",
    );
    check_signature(&pipeline("c"), "x: f32 [n]", "a: f32 [n], b: f32 [n], c: f32 [n]");
}
