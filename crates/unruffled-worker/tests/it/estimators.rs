//! Estimators of scikit-learn, as they were saved.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use unruffled_model::{Batching, Bytes, CancelToken, DType, Tensor, Tensors};

use crate::python::{environment, load_file, options, run_all};

/// Runs a Python script in a folder of its own.
fn script(source: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let status =
        Command::new(environment().join("bin/python")).args(["-c", source]).current_dir(&folder).status();
    assert!(status.unwrap().success());
    folder
}

fn iris(rows: &[[f64; 4]]) -> Tensors {
    let all = rows.iter().flatten().copied().collect::<Vec<_>>();
    Tensors::new().with("input", Tensor::new(&[rows.len(), 4], all).unwrap())
}

/// Fits one kind and saves it, with what it says of two rows.
const FIT: &str = r#"
import json, numpy as np, skops.io, joblib
from sklearn.datasets import load_iris
from sklearn import ensemble, linear_model, svm, neighbors, naive_bayes, tree, cluster, preprocessing, decomposition, neural_network, discriminant_analysis
from sklearn.pipeline import make_pipeline

x, y = load_iris(return_X_y=True)
names = np.array(["setosa", "versicolor", "virginica"])[y]
rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.2, 2.8, 4.8, 1.8]])
models = {
    "forest": ensemble.RandomForestClassifier(5, random_state=0).fit(x, names),
    "logistic": make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()).fit(x, y),
    "svc": svm.SVC().fit(x, y),
    "knn": neighbors.KNeighborsClassifier().fit(x, y),
    "bayes": naive_bayes.GaussianNB().fit(x, y),
    "tree": tree.DecisionTreeClassifier(random_state=0).fit(x, y == 1),
    "boosting": ensemble.GradientBoostingRegressor(n_estimators=5, random_state=0).fit(x, y),
    "linear": linear_model.LinearRegression().fit(x, np.stack([y, -y], 1)),
    "ridge": linear_model.Ridge().fit(x, y),
    "mlp": neural_network.MLPRegressor(hidden_layer_sizes=[4], max_iter=2000, random_state=0).fit(x, y),
    "lda": discriminant_analysis.LinearDiscriminantAnalysis().fit(x, y),
    "kmeans": cluster.KMeans(3, random_state=0, n_init=1).fit(x),
    "pca": decomposition.PCA(2).fit(x),
    "outliers": ensemble.IsolationForest(n_estimators=5, random_state=0).fit(x),
}
expected = {}
for name, model in models.items():
    joblib.dump(model, name + ".joblib")
    skops.io.dump(model, name + ".skops")
    first = model.predict(rows) if hasattr(model, "predict") else model.transform(rows)
    told = {"first": first.astype("f8").ravel().tolist() if first.dtype.kind in "biuf" else first.tolist()}
    if hasattr(model, "predict_proba"):
        told["probabilities"] = model.predict_proba(rows).ravel().tolist()
    expected[name] = told
json.dump(expected, open("expected.json", "w"))
"#;

fn numbers(tensor: &Tensor) -> Vec<f64> {
    match tensor.dtype() {
        DType::F64 => tensor.elements::<f64>().unwrap().to_vec(),
        DType::I64 => tensor.elements::<i64>().unwrap().iter().map(|&value| value as f64).collect(),
        DType::I32 => tensor.elements::<i32>().unwrap().iter().map(|&value| f64::from(value)).collect(),
        DType::Bool => {
            tensor.elements::<bool>().unwrap().iter().map(|&value| f64::from(u8::from(value))).collect()
        }
        other => panic!("{other}"),
    }
}

#[track_caller]
fn check(path: &Path, output: &str, expected: &serde_json::Value) {
    let trusted = ["sklearn.tree._tree.Tree", "sklearn._loss", "numpy.dtype"];
    let model = load_file(path, options().with_trust_pickle(true).with_trusted_types(trusted))
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(model.info().batching, Batching::Joint);
    model
        .with_instance(&mut |instance| {
            let requests = [iris(&[[5.1, 3.5, 1.4, 0.2]]), iris(&[[6.2, 2.8, 4.8, 1.8]])];
            let answers = run_all(instance, requests, &CancelToken::new(), &[]);
            let parts = |name: &str| -> Vec<Tensor> {
                answers.iter().filter_map(|answer| answer.as_ref().unwrap().get(name).cloned()).collect()
            };
            let joined =
                Tensor::concat(parts(output).iter()).unwrap_or_else(|error| panic!("{output}: {error}"));
            if joined.dtype() == DType::Bytes {
                let texts: Vec<&Bytes> = joined.elements::<Bytes>().unwrap().iter().collect();
                let known = expected["first"].as_array().unwrap();
                assert!(
                    texts
                        .iter()
                        .zip(known)
                        .all(|(text, known)| ***text == *known.as_str().unwrap().as_bytes())
                );
            } else {
                assert_eq!(serde_json::json!(numbers(&joined)), expected["first"], "{}", path.display());
            }
            if let Some(known) = expected.get("probabilities") {
                let joined = Tensor::concat(parts("probabilities").iter()).unwrap();
                assert_eq!(serde_json::json!(numbers(&joined)), *known, "{}", path.display());
            }
        })
        .unwrap();
}

#[test]
fn estimators_answer_as_they_do_in_python() {
    let folder = script(FIT);
    let expected = std::fs::read_to_string(folder.path().join("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
    for (name, expected) in expected.as_object().unwrap() {
        let output = match name.as_str() {
            "boosting" | "linear" | "ridge" | "mlp" | "pca" => "variable",
            _ => "label",
        };
        check(&folder.path().join(format!("{name}.joblib")), output, expected);
    }
    check(&folder.path().join("logistic.skops"), "label", &expected["logistic"]);
}

#[test]
fn files_that_are_not_trusted_are_not_read() {
    let folder = script(
        r#"
import joblib, pickle, skops.io
from sklearn.linear_model import LinearRegression

class Trap:
    def __reduce__(self):
        return print, ("sprung",)

joblib.dump(Trap(), "trap.joblib")
pickle.dump(Trap(), open("trap.pkl", "wb"))
class Odd(LinearRegression):
    pass
Odd.__module__ = "some.library"
import sys, types
sys.modules["some"] = types.ModuleType("some")
sys.modules["some.library"] = types.ModuleType("some.library")
sys.modules["some.library"].Odd = Odd
skops.io.dump(Odd().fit([[0.0], [1.0]], [0.0, 1.0]), "odd.skops")
"#,
    );
    let error =
        |name: &str| load_file(&folder.path().join(name), options()).map(|_| ()).unwrap_err().to_string();
    for name in ["trap.joblib", "trap.pkl"] {
        assert!(error(name).contains("may run any code when it is read"), "{}", error(name));
        assert!(error(name).contains("`trust_pickle`"));
    }
    let odd = error("odd.skops");
    assert!(odd.contains("not trusted: some.library.Odd") && odd.contains("`trusted_types`"), "{odd}");
}
