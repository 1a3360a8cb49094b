"""Trains estimators of many kinds and writes them as ONNX files and as saved Python objects, with recorded answers.

    python make.py --out FOLDER           the estimators, in under a minute
    python make.py --out FOLDER --bench   the larger ones that `benches/src/bin/trees` compares

Into FOLDER go NAME/1/model.onnx, model.joblib and, for those of scikit-learn, model.skops, for each NAME of `zoo.py`;
recordings/NAME/CASE/in.TENSOR.npy and out.TENSOR.npy with what ONNX Runtime answers on one thread; and manifest.json, which
says what each one is and how far ONNX Runtime is from what the estimator answers itself. The models of `odd.py` are there
too, as files and recordings only. Everything is seeded: the same versions of the libraries write the same files, but for the
time and the addresses that a skops file notes.
"""

import argparse
import json
import os
import pathlib
import shutil
import sys
import urllib.parse
import warnings

import joblib
import numpy as np
import onnxruntime
import skops.io

import odd
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


def record(asked, session, folder):
    """Writes every case, and gives its rows and what ONNX Runtime answers."""
    names = [output.name for output in session.get_outputs()]
    shutil.rmtree(folder, ignore_errors=True)
    for case, rows in asked.cases().items():
        inputs = asked.inputs(rows)
        answers = {}
        for name, answer in zip(names, session.run(names, inputs)):
            answers |= tensors(name, answer)
        (folder / case).mkdir(parents=True)
        for name, array in inputs.items():
            save(folder / case, "in", name, array)
        for name, array in answers.items():
            save(folder / case, "out", name, array)
        yield rows, answers


def distances(estimator, recorded):
    """The largest distance between ONNX Runtime and the estimator itself, by output; labels that are strings are counted."""
    largest = {}
    for rows, answers in recorded:
        for name, ours in estimator.own(rows).items():
            theirs = answers[name].reshape(ours.shape)
            if ours.dtype.kind in "OU":
                distance = int((theirs != ours).sum())
            else:
                distance = float(np.abs(theirs.astype(np.float64) - ours.astype(np.float64)).max())
            largest[name] = max(largest.get(name, 0), distance)
    return largest


def save_rows(estimator, folder, count=4096):
    """Rows that were not there in training, as many as no branch predictor learns by heart."""
    rng = np.random.default_rng(zoo.SEED)
    rows = estimator.rows[rng.integers(0, len(estimator.rows), count)]
    spread = estimator.rows.std(axis=0) * 0.2
    rows = rows + rng.standard_normal(rows.shape) * spread
    np.save(folder / "rows.npy", rows.astype(np.float32))


def operators(model):
    return sorted({f"{node.domain}/{node.op_type}".lstrip("/") for node in model.graph.node})


def write(asked, onnx_model, out):
    """Writes a model's file and its recordings; gives its folder, and what was recorded."""
    folder = out / asked.name / "1"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "model.onnx"
    file.write_bytes(onnx_model.SerializeToString(deterministic=True))
    return folder, list(record(asked, open_session(file), out / "recordings" / asked.name))


def make(estimator, out):
    onnx_model = estimator.convert()
    # Some converters name it at random.
    onnx_model.graph.name = estimator.name
    folder, recorded = write(estimator, onnx_model, out)
    files = ["model.onnx", "model.joblib"]
    joblib.dump(estimator.model, folder / "model.joblib")
    if estimator.is_sklearn:
        skops.io.dump(estimator.model, folder / "model.skops")
        files.append("model.skops")
    apart = distances(estimator, recorded)
    print(f"{estimator.name}: {apart}")
    return {
        "name": estimator.name,
        "kind": type(estimator.model).__name__,
        "files": files,
        "operators": operators(onnx_model),
        "tolerance": estimator.tolerance,
        "distance": apart,
        "equal": all(distance <= estimator.tolerance for distance in apart.values()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--bench", action="store_true", help="the larger models of the benchmark instead")
    arguments = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets decides about names in files.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
    warnings.filterwarnings("ignore")
    estimators = zoo.benchmarks() if arguments.bench else zoo.estimators()
    arguments.out.mkdir(parents=True, exist_ok=True)
    manifest = []
    for estimator in estimators:
        manifest.append(make(estimator, arguments.out))
        if arguments.bench:
            save_rows(estimator, arguments.out / estimator.name)
    for model in [] if arguments.bench else odd.models():
        write(model, model.model, arguments.out)
    text = json.dumps(manifest, indent=1, sort_keys=True)
    (arguments.out / "manifest.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
