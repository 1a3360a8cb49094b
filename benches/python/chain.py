"""Writes a model of many small nodes, which takes about a millisecond for a row: what an engine adds shows beside it.

    python chain.py FILE
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 96
STEPS = 500


def main(path):
    random = np.random.default_rng(1)
    weights, nodes, last = [], [], "x"
    for step in range(STEPS):
        weight = (random.standard_normal((WIDTH, WIDTH)) / np.sqrt(WIDTH)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{step}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{step}"], [f"h{step}"]))
        last = "y" if step + 1 == STEPS else f"t{step}"
        nodes.append(helper.make_node("Tanh", [f"h{step}"], [last]))
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH])
    graph = helper.make_graph(nodes, "chain", [value("x")], [value("y")], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


if __name__ == "__main__":
    main(sys.argv[1])
