"""Writes the models that the server is measured with: a forest of 100 trees over 10 features, and an MLP of 26 MB.

    python serve_models.py FOLDER
"""

import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier

LAYERS = [784, 2048, 2048, 256, 10]


def forest(path):
    x, y = make_classification(2000, 10, n_informative=6, random_state=1)
    model = RandomForestClassifier(100, max_depth=8, random_state=1).fit(x.astype(np.float32), y)
    onnx.save(to_onnx(model, x[:1].astype(np.float32), options={"zipmap": False}), path)


def mlp(path):
    random = np.random.default_rng(1)
    weights, nodes, last = [], [], "x"
    for step, (wide, narrow) in enumerate(zip(LAYERS, LAYERS[1:])):
        weight = (random.standard_normal((wide, narrow)) / np.sqrt(wide)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{step}"))
        name = "y" if step + 2 == len(LAYERS) else f"h{step}"
        nodes.append(helper.make_node("MatMul", [last, f"w{step}"], [name]))
        last = name
        if name != "y":
            nodes.append(helper.make_node("Relu", [name], [f"r{step}"]))
            last = f"r{step}"
    value = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
    graph = helper.make_graph(nodes, "mlp", [value("x", LAYERS[0])], [value("y", LAYERS[-1])], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def main(folder):
    for name, write in [("forest", forest), ("mlp", mlp)]:
        path = pathlib.Path(folder) / name / "1" / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)


if __name__ == "__main__":
    main(sys.argv[1])
