"""Trains estimators of many kinds and writes them as ONNX files and as saved Python objects, with recorded answers.

    python make.py --out FOLDER           the estimators, in under a minute
    python make.py --out FOLDER --bench   the larger ones that `benches/src/bin/trees.rs` compares

Into FOLDER go NAME/1/model.onnx, model.joblib and, for those of scikit-learn, model.skops, for each NAME of `zoo.py`;
recordings/NAME/CASE/in.TENSOR.npy and out.TENSOR.npy with what ONNX Runtime answers on one thread; and manifest.json, which
says what each one is and how far ONNX Runtime is from what the estimator answers itself. Everything is seeded: the same
versions of the libraries write the same files.
"""

import argparse
import json
import pathlib
import shutil
import urllib.parse
import warnings

import joblib
import numpy as np
import onnxruntime
import skops.io

import zoo


def open_session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # LightGBM's export declares labels of one row: a warning for every larger batch.
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def tensors(name, answer):
    """An output as tensors: a sequence of maps becomes its values, and its keys under another name."""
    if not isinstance(answer, list):
        return {name: np.asarray(answer)}
    keys = [list(row) for row in answer]
    values = [list(row.values()) for row in answer]
    return {name: np.array(values, dtype=np.float32), f"{name}.keys": np.array(keys)}


def plain(array):
    """Strings as bytes of one length, which needs no pickle."""
    if array.dtype.kind not in "OU":
        return np.ascontiguousarray(array)
    encoded = [text.encode() for text in array.reshape(-1)]
    return np.array(encoded, dtype=f"S{max(map(len, encoded), default=1) or 1}").reshape(array.shape)


def save(folder, side, name, array):
    path = folder / f"{side}.{urllib.parse.quote(name, safe='')}.npy"
    with open(path, "wb") as file:
        np.lib.format.write_array(file, plain(np.asarray(array)), version=(1, 0), allow_pickle=False)


def record(estimator, session, folder):
    """Writes every case, and returns the largest distance between ONNX Runtime and the estimator by output."""
    names = [output.name for output in session.get_outputs()]
    shutil.rmtree(folder, ignore_errors=True)
    distances = {}
    for case, rows in estimator.cases().items():
        inputs = estimator.inputs(rows)
        answers = {}
        for name, answer in zip(names, session.run(names, inputs)):
            answers |= tensors(name, answer)
        own = estimator.own(rows)
        for name, ours in own.items():
            theirs = answers[name].reshape(ours.shape)
            if ours.dtype.kind in "OU":
                distance = int((theirs != ours).sum())
            else:
                distance = float(np.abs(theirs.astype(np.float64) - ours.astype(np.float64)).max())
            distances[name] = max(distances.get(name, 0), distance)
        (folder / case).mkdir(parents=True)
        for name, array in inputs.items():
            save(folder / case, "in", name, array)
        for name, array in answers.items():
            save(folder / case, "out", name, array)
    return distances


def operators(model):
    return sorted({f"{node.domain}/{node.op_type}".lstrip("/") for node in model.graph.node})


def make(estimator, out):
    folder = out / estimator.name / "1"
    folder.mkdir(parents=True, exist_ok=True)
    onnx_file = folder / "model.onnx"
    onnx_model = estimator.convert()
    onnx_file.write_bytes(onnx_model.SerializeToString(deterministic=True))
    files = ["model.onnx", "model.joblib"]
    joblib.dump(estimator.model, folder / "model.joblib")
    if estimator.is_sklearn:
        skops.io.dump(estimator.model, folder / "model.skops")
        files.append("model.skops")
    session = open_session(onnx_file)
    distances = record(estimator, session, out / "recordings" / estimator.name)
    print(f"{estimator.name}: {onnx_file.stat().st_size} bytes, {distances}")
    return {
        "name": estimator.name,
        "kind": type(estimator.model).__name__,
        "files": files,
        "operators": operators(onnx_model),
        "tolerance": estimator.tolerance,
        # How far ONNX Runtime is from the estimator itself; labels that are strings are counted.
        "distance": distances,
        "equal": all(distance <= estimator.tolerance for distance in distances.values()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--bench", action="store_true", help="the larger models of the benchmark instead")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    estimators = zoo.benchmarks() if arguments.bench else zoo.estimators()
    arguments.out.mkdir(parents=True, exist_ok=True)
    manifest = []
    for estimator in estimators:
        try:
            manifest.append(make(estimator, arguments.out))
        except Exception as e:
            print("FAILED", estimator.name, repr(e)[:600])
    text = json.dumps(manifest, indent=1, sort_keys=True)
    (arguments.out / "manifest.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
