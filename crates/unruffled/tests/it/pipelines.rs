//! Pipelines from files: found, loaded after what they ask, and refused with file, line and key.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use unruffled::model::Bytes;
use unruffled::{Engine, Load, ModelFolder, Repository, Tensor, Tensors};

/// The two best classes of scores, and those of half the scores.
const BEST: &str = "
description = 'the best of two'

[[step]]
name = 'best'
step = { kind = 'top-k', top = 2 }
inputs = { scores = 'input.scores' }

[[step]]
name = 'rows'
model = 'one'
inputs = { scores = 'input.scores' }
each = 'scores'

[outputs]
index = 'best.index'
first = 'rows.index'
";

/// A repository of these folders, each with one file.
fn repository(folders: &[(&str, &str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, file, text) in folders {
        fs::create_dir_all(root.path().join(name)).unwrap();
        fs::write(root.path().join(name).join(file), text).unwrap();
    }
    root
}

const ONE: (&str, &str, &str) = ("one", "model.toml", "[step]\nkind = 'top-k'\ntop = 1");

fn scores() -> Tensors {
    let scores = vec![0.1_f32, 0.2, 0.7, 0.6, 0.3, 0.1];
    Tensors::new().with("scores", Tensor::new(&[2, 3], scores).unwrap())
}

fn whole(answer: &Tensors, name: &str) -> Vec<i64> {
    answer.get(name).unwrap().elements::<i64>().unwrap().to_vec()
}

/// Loading this pipeline beside `ONE` is refused with this text, in which PATH is the pipeline's file.
#[track_caller]
fn check_refused(text: &str, expected: &str) {
    let root = repository(&[ONE, ("p", "pipeline.toml", text)]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error =
        runtime.block_on(Engine::new().load(root.path().join("p"))).expect_err("it must be refused");
    let file = root.path().join("p/pipeline.toml").display().to_string();
    let told = error.to_string().replace(&file, "PATH");
    assert!(told.ends_with(expected), "{told}\nis not\n{expected}");
}

#[tokio::test]
async fn what_it_asks_is_loaded_first() {
    let root = repository(&[ONE, ("best", "pipeline.toml", BEST)]);
    let engine = Engine::new();
    let best = engine.load(root.path().join("best")).await.unwrap();
    let answer = best.infer(scores()).await.unwrap();
    assert_eq!(whole(&answer, "index"), [2, 1, 0, 1]);
    assert_eq!(whole(&answer, "first"), [2, 0]);
    assert_eq!(best.info().signature.outputs[1].to_string(), "first: i64 [n, k_2]");
    let names: Vec<_> = engine.models().into_iter().map(|model| model.name.to_string()).collect();
    assert_eq!(names, ["best", "one"]);
    // Another one takes what is there.
    fs::create_dir_all(root.path().join("again")).unwrap();
    fs::write(root.path().join("again/pipeline.toml"), BEST).unwrap();
    let again = engine.load(root.path().join("again/pipeline.toml")).await.unwrap();
    assert_eq!(whole(&again.infer(scores()).await.unwrap(), "first"), [2, 0]);
    assert_eq!(engine.get::<Tensors, Tensors>("one").unwrap().metrics().answered, 4);
}

#[tokio::test]
async fn all_of_a_repository_are_loaded_side_by_side() {
    let outer = "[[step]]\nname = 's'\nmodel = 'zbest'\ninputs = { scores = 'input.scores' }\n[outputs]\nfirst = 's.first'\n";
    let root = repository(&[ONE, ("zbest", "pipeline.toml", BEST), ("a", "pipeline.toml", outer)]);
    let repository = Repository::open(root.path()).unwrap();
    let order: Vec<_> = repository.in_load_order().iter().map(|model| model.name.to_string()).collect();
    assert_eq!(order, ["one", "zbest", "a"]);
    let engine = Engine::new();
    let loads: Vec<_> =
        repository.in_load_order().iter().map(|folder| engine.load_folder(folder).unwrap()).collect();
    for load in loads {
        load.await.unwrap();
    }
    let a = engine.get::<Tensors, Tensors>("a").unwrap();
    assert_eq!(whole(&a.infer(scores()).await.unwrap(), "first"), [2, 0]);
}

#[tokio::test]
async fn one_in_memory_asks_what_the_engine_has() {
    let root = repository(&[ONE]);
    let engine = Engine::new();
    engine.load(root.path().join("one")).await.unwrap();
    let config = unruffled::ModelConfig::parse_pipeline(BEST, Path::new("best")).unwrap();
    let folder = ModelFolder::in_memory("best", Bytes::new(), config).unwrap();
    let best = engine.load_folder(&folder).unwrap().await.unwrap();
    assert_eq!(whole(&best.infer(scores()).await.unwrap(), "first"), [2, 0]);
}

#[test]
fn refusals_name_file_line_and_key() {
    let with = |from: &str, to: &str| BEST.replace(from, to);
    check_refused(
        &with("model = 'one'", "model = 'two'"),
        "PATH:9: `step.rows`: there is no model `two`; there is one, p",
    );
    check_refused(
        &with("inputs = { scores = 'input.scores' }\neach", "inputs = { scores = 'best.scores' }\neach"),
        "PATH:12: `step.rows.inputs.scores`: `best.scores`: model `p/best` gives no `scores`; it gives `label`, `index`, `score`",
    );
    check_refused(
        &with("inputs = { scores = 'input.scores' }\neach", "inputs = { scores = 'best.index' }\neach"),
        "PATH:12: `step.rows.inputs.scores`: expected f32 [n, classes], but a row of `best.index` is i64 [1, k]",
    );
    check_refused(
        &with("first = 'rows.index'", "first = 'rows.last'"),
        "PATH:17: `outputs.first`: `rows.last`: model `one` gives no `last`; it gives `label`, `index`, `score`",
    );
    check_refused(
        &with("top = 2", "top = 0"),
        "PATH:6: `step.step`: is 0; expected a whole number from 1 to 4294967295",
    );
    check_refused(
        &with("model = 'one'\n", ""),
        "PATH:9: `step`: asks nothing; add model = \"NAME\", or step = { kind = \"KIND\" }",
    );
    check_refused(
        &with("each = 'scores'", "rows = 2"),
        "PATH:13: `step.rows`: is for a loop; add each = \"INPUT\" or scan = \"INPUT\"",
    );
    check_refused(
        &with("each = 'scores'", "instances = 2"),
        "PATH:13: `step.instances`: is for the model's own model.toml; it is shared by all who ask it",
    );
    check_refused(
        &with("each =", "eech ="),
        "PATH:13: `step.eech`: unknown field `eech`, expected one of `name`, `model`, `step`, `inputs`, `each`, `scan`, `rows`, `in_flight`, `carry`, `several`, `instances`",
    );
    check_refused(
        &with("model = 'one'", "model = 'p'"),
        "PATH:9: `step.rows`: asks itself: p -> p; cut the circle",
    );
}

#[test]
fn circles_through_others_are_refused() {
    let asks = |name: &str| {
        format!(
            "[[step]]\nname = 's'\nmodel = '{name}'\ninputs = {{ x = 'input.x' }}\n[outputs]\ny = 's.y'\n"
        )
    };
    let (a, b) = (asks("b"), asks("a"));
    let root = repository(&[("a", "pipeline.toml", &a), ("b", "pipeline.toml", &b)]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(Engine::new().load(root.path().join("a"))).err().unwrap().to_string();
    assert!(error.contains("`step.s`: asks itself: a -> b -> a; cut the circle"), "{error}");
}

#[test]
fn a_folder_is_one_thing() {
    let root = repository(&[ONE, ("one", "pipeline.toml", BEST)]);
    let error = ModelFolder::open(root.path().join("one")).unwrap_err().to_string();
    assert!(
        error.ends_with("is a pipeline, but there is `model.toml` too; take one of them away"),
        "{error}"
    );
}
