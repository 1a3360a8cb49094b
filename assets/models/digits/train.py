"""Trains the digits model and writes it beside this file, with its samples and README.

    pip install -r requirements.txt
    python train.py

Everything random is seeded and the arithmetic runs on one thread, so on one machine two runs write the same bytes.
Nothing is downloaded: the images come inside scikit-learn.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # sums taken by several threads come in no fixed order

import json
import pathlib
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

HERE = pathlib.Path(__file__).resolve().parent
SEED = 20
INK_MAX = 16.0
COPIES = 24
SAMPLE_SIDE = 128
SAMPLES = {"three": 3, "seven": 7, "nine": 9}


def augment(images, rng):
    """One changed copy of every image: shifted by up to a pixel, turned and scaled a little, fainter or stronger ink."""
    changed = np.empty_like(images)
    centre = np.array([3.5, 3.5])
    for i, image in enumerate(images):
        angle = rng.uniform(-0.2, 0.2)
        scale = rng.uniform(0.85, 1.15)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
        shift = rng.uniform(-1.0, 1.0, size=2)
        moved = ndimage.affine_transform(image, turn, offset=centre - turn @ (centre + shift), order=1)
        ink = moved * rng.uniform(0.7, 1.25) + rng.normal(0.0, 0.4, size=image.shape)
        changed[i] = np.clip(ink, 0.0, INK_MAX)
    return changed


def split():
    digits = load_digits()
    return train_test_split(digits.images, digits.target, test_size=0.25, stratify=digits.target, random_state=SEED)


def train(images, labels):
    rng = np.random.default_rng(SEED)
    copies = [images] + [augment(images, rng) for _ in range(COPIES)]
    x = np.concatenate(copies).reshape(-1, 64) / INK_MAX
    y = np.tile(labels, len(copies))
    network = MLPClassifier((160, 96), alpha=1e-4, batch_size=256, learning_rate_init=1e-3, max_iter=40, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of passes is chosen, not waited for
        network.fit(x, y)
    return network


def to_onnx(network):
    """Standard operators only, so that every ONNX engine runs the file."""
    constants = {"ink_scale": np.float32(1.0 / INK_MAX), "pixels": np.array([-1, 64], dtype=np.int64)}
    nodes = [
        helper.make_node("Reshape", ["image", "pixels"], ["flat"]),
        helper.make_node("Mul", ["flat", "ink_scale"], ["layer0"]),
    ]
    last = len(network.coefs_)
    for i, (weights, bias) in enumerate(zip(network.coefs_, network.intercepts_), start=1):
        constants[f"weights{i}"] = weights.astype(np.float32)
        constants[f"bias{i}"] = bias.astype(np.float32)
        scores = "scores" if i == last else f"sum{i}"
        nodes.append(helper.make_node("Gemm", [f"layer{i - 1}", f"weights{i}", f"bias{i}"], [scores]))
        if i < last:
            nodes.append(helper.make_node("Relu", [scores], [f"layer{i}"]))
    nodes.append(helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1))
    nodes.append(helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0))
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 8, 8])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10]),
            helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="unruffled")
    onnx.checker.check_model(model, full_check=True)
    return model


def from_picture(picture):
    """What a caller does with a picture: gray, ink high, the mean of each of 8 x 8 areas, 0 to 16."""
    ink = 1.0 - np.asarray(picture.convert("L"), dtype=np.float32) / 255.0
    step = SAMPLE_SIDE // 8
    return ink.reshape(8, step, 8, step).mean(axis=(1, 3)) * INK_MAX


def write_samples(session, images, labels, probabilities):
    folder = HERE / "samples"
    folder.mkdir(exist_ok=True)
    for name, digit in SAMPLES.items():
        # The most ordinary picture among those the model is sure of: nearest to the mean of its digit.
        sure = [i for i in np.flatnonzero(labels == digit) if probabilities[i, digit] > 0.99]
        mean = images[labels == digit].mean(axis=0)
        chosen = min(sure, key=lambda i: np.abs(images[i] - mean).sum())
        pixels = np.rint(255.0 * (1.0 - images[chosen] / INK_MAX)).astype(np.uint8)
        picture = Image.fromarray(pixels).resize((SAMPLE_SIDE, SAMPLE_SIDE), Image.Resampling.BICUBIC)
        picture.save(folder / f"{name}.png", optimize=True)
        seen = run(session, from_picture(picture)[None])
        assert seen[1][0] == digit and seen[0][0, digit] > 0.9, f"{name}.png is not recognised: {seen}"
        print(f"{name}.png: {digit} with probability {seen[0][0, digit]:.4f}")
        if name == "seven":
            data = [int(v) for v in images[chosen].ravel()]
            body = {"inputs": [{"name": "image", "shape": [1, 8, 8], "datatype": "FP32", "data": data}]}
            (folder / "seven.json").write_text(json.dumps(body, separators=(",", ":")) + "\n")


def run(session, images):
    return session.run(["probabilities", "label"], {"image": images.astype(np.float32)})


def confusions(truth, predicted):
    pairs = {}
    for t, p in zip(truth, predicted):
        if t != p:
            pairs[int(t), int(p)] = pairs.get((int(t), int(p)), 0) + 1
    return sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))


README = """\
# digits

Tells which handwritten digit an 8 x 8 picture shows. Small enough to be kept in the repository and to answer in
microseconds: the model of the first examples, not a reader of arbitrary photographs.

| | name | type | shape | |
| --- | --- | --- | --- | --- |
| input | `image` | FP32 | [batch, 8, 8] | ink from 0 (none) to 16 (full); scaled inside the graph |
| output | `probabilities` | FP32 | [batch, 10] | add up to 1 |
| output | `label` | INT64 | [batch] | the most probable digit |

## How good it is

On {test} pictures kept out of training it is right for **{right} ({accuracy:.2f} %)**. With one random change to each of these
pictures (moved by up to a pixel, turned by up to 11 degrees, 15 % smaller or larger, fainter or stronger ink) it is right for
{changed:.2f} %.
{confusions}
It always answers with some digit: it has no class for "not a digit". Pictures should be filled by the digit as the
training pictures are; a small digit in a corner of a large sheet is not found.

## Data

The {total} pictures that come with scikit-learn (`sklearn.datasets.load_digits`): the test part of "Optical Recognition of
Handwritten Digits" by E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, doi:10.24432/C50P49, CC BY 4.0;
scikit-learn itself is BSD-3-Clause. Each picture counts the ink in 4 x 4 squares of a 32 x 32 scan. The data set names no
writers, so writers of the held-out pictures may also occur in training.

`samples/` are held-out pictures: `seven.json` is a complete inference request, the PNG files are the same kind of
pictures enlarged to {side} x {side}, dark ink on white. The model, its weights and this script are MIT.

## Making it again

```
pip install -r requirements.txt
python train.py
```

The script takes well under a minute and writes the model, the samples and this page. {trained} pictures, {copies} changed copies of
each, a network of 64, 160, 96 and 10 units; seed {seed}.
"""


def main():
    train_images, test_images, train_labels, test_labels = split()
    network = train(train_images, train_labels)
    model = to_onnx(network)
    path = HERE / "1" / "model.onnx"
    path.parent.mkdir(exist_ok=True)
    onnx.save(model, path)

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    probabilities, predicted = run(session, test_images)
    right = int((predicted == test_labels).sum())
    changed_images = augment(test_images, np.random.default_rng(SEED + 1))
    changed = 100.0 * float((run(session, changed_images)[1] == test_labels).mean())
    accuracy = 100.0 * right / len(test_labels)
    wrong = confusions(test_labels, predicted)
    print(f"held-out accuracy {accuracy:.2f} % ({right} of {len(test_labels)}), changed copies {changed:.2f} %")
    print(f"taken for: {wrong}")
    print(f"{path.name}: {path.stat().st_size} bytes")

    write_samples(session, test_images, test_labels, probabilities)
    (HERE / "labels.txt").write_text("".join(f"{digit}\n" for digit in range(10)))
    listed = ", ".join(f"{t} as {p}" + (f" ({n} times)" if n > 1 else "") for (t, p), n in wrong)
    values = {
        "test": len(test_labels), "right": right, "accuracy": accuracy, "changed": changed,
        "confusions": f"The mistakes there: it read {listed}." if wrong else "It made no mistake there.",
        "total": len(train_labels) + len(test_labels), "trained": len(train_labels), "copies": COPIES, "seed": SEED,
        "side": SAMPLE_SIDE,
    }
    (HERE / "README.md").write_text(README.format(**values))


if __name__ == "__main__":
    main()
