//! Chains out of a repository: found, put together, asked.

use std::path::Path;

use tempfile::TempDir;
use unruffled_engine::{Engine, ErrorKind as EngineErrorKind};

use crate::error::Error;
use crate::{Backends, Repository, TensorHandle, sample};

/// A repository of the digits model under these names, and of chains with these settings.
fn repository(models: &[&str], chains: &[(&str, &str)]) -> (TempDir, Repository) {
    let root = tempfile::tempdir().unwrap();
    let digits = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/models/digits/1/model.onnx");
    for name in models {
        std::fs::create_dir(root.path().join(name)).unwrap();
        std::fs::copy(&digits, root.path().join(name).join("model.onnx")).unwrap();
    }
    for (name, settings) in chains {
        std::fs::create_dir(root.path().join(name)).unwrap();
        std::fs::write(root.path().join(name).join("model.toml"), settings).unwrap();
    }
    let repository = Repository::open(root.path()).unwrap();
    (root, repository)
}

/// Loads all of a repository, as the server does, and gives this one.
async fn load(engine: &Engine, repository: &Repository, name: &str) -> Result<TensorHandle, Error> {
    let backends = Backends::default();
    let loads: Vec<_> = repository
        .load_order()
        .into_iter()
        .map(|folder| backends.load(engine, folder))
        .collect::<Result<_, _>>()?;
    for load in loads {
        load.await?;
    }
    Ok(engine.get(name)?)
}

#[tokio::test]
async fn a_chain_is_a_folder_with_settings_alone() {
    // Named so that the order of names is not that of loads.
    let chain = "[run]\ninstances = 2\n[cache]\nttl_s = 1\n[fallback]\nchain = ['large', 'small']\nbudget_ms = 60000\n";
    let outer = "[fallback]\nchain = ['chain', 'small']\norder = 'race'\n";
    let (_root, repository) = repository(&["large", "small"], &[("chain", chain), ("a", outer)]);
    let engine = Engine::new();
    let outer = load(&engine, &repository, "a").await.unwrap();
    let answer = outer.infer(sample::seven()).await.unwrap();
    assert_eq!(answer.get("label").unwrap().elements::<i64>().unwrap(), [7]);
    assert_eq!((&*outer.info().backend, outer.info().signature.inputs.len()), ("fallback", 1));
    let chain: TensorHandle = engine.get("chain").unwrap();
    assert_eq!((chain.status().instances, chain.metrics().cache.is_some()), (2, true));

    // The first is gone: the second answers, and the answer says so.
    engine.unload("large", std::time::Duration::from_secs(10)).await.unwrap();
    let answer = chain.infer(sample::seven().with("image", other_picture())).await.unwrap();
    let degraded = answer.provenance.unwrap().degraded.unwrap();
    assert_eq!((&*degraded.by, &*degraded.why[0].0), ("small", "large"));
}

fn other_picture() -> crate::Tensor {
    let seven = sample::seven();
    let picture = seven.get("image").unwrap();
    let darker: Vec<f32> = picture.elements::<f32>().unwrap().iter().map(|x| x * 0.9).collect();
    crate::Tensor::new(picture.shape(), darker).unwrap()
}

#[test]
fn chains_that_cannot_work_are_left_out() {
    let of = |chain: &str| format!("[fallback]\nchain = [{chain}]\n");
    let (to_b, to_a, to_c) = (of("'b'"), of("'large', 'a'"), of("'nobody'"));
    let (root, repository) = repository(&["large"], &[("a", &to_b), ("b", &to_a), ("c", &to_c)]);
    let names: Vec<_> = repository.models().iter().map(|model| &*model.name).collect();
    assert_eq!(names, ["large"]);
    let prefix = format!("{}/", root.path().display());
    let told: Vec<_> =
        repository.warnings().map(|warning| warning.to_string().replace(&prefix, "")).collect();
    assert_eq!(
        told,
        [
            "a/model.toml: `fallback.chain`: would ask itself: a -> b -> a; take one of them out",
            "b/model.toml: `fallback.chain`: asks `a`, and there is no such model here; add it, or name another",
            "c/model.toml: `fallback.chain`: asks `nobody`, and there is no such model here; add it, or name another",
        ]
    );
}

#[tokio::test]
async fn models_that_cannot_stand_in_for_each_other_are_no_chain() {
    let (_root, repository) = repository(
        &["large"],
        &[
            ("chain", "[fallback]\nchain = ['large', 'other']\n"),
            ("other", "[fallback]\nchain = ['large']\n"),
        ],
    );
    let engine = Engine::new();
    // Another model than the one that was found has come to have its name.
    let other = engine.wrap_model(unruffled_testing::scripted::doubling()).name("other").register().unwrap();
    let backends = Backends::default();
    backends.load(&engine, repository.find("large").unwrap()).unwrap().await.unwrap();
    let refused = backends.load(&engine, repository.find("chain").unwrap()).unwrap().await.unwrap_err();
    assert!(
        refused.to_string().contains("`other` cannot stand in for `large`: it has an input more, x: f32"),
        "{refused}"
    );
    drop(other);
    // And one that is not there at all.
    engine.unload("other", std::time::Duration::ZERO).await.unwrap();
    let refused = backends.load(&engine, repository.find("chain").unwrap()).unwrap().await.unwrap_err();
    assert!(refused.to_string().contains("`other`: there is no model of this name"), "{refused}");
    assert_ne!(refused.kind(), EngineErrorKind::Cancelled);
}
