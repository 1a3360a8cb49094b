"""Makes the small models of the conformance suite in models/, one for each kind of signature a backend must get right.

    pip install -r requirements.txt
    python make_models.py
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).resolve().parent
FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64

SLOW_STEPS = 100
SLOW_ROWS = 2048


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs, outputs, **attributes)


def write(name, inputs, outputs, nodes, constants=None):
    initializers = [numpy_helper.from_array(np.asarray(v), n) for n, v in (constants or {}).items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="unruffled")
    onnx.checker.check_model(model, full_check=True)
    path = HERE / "models" / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
    print(f"{name}: {path.stat().st_size} bytes")


def identity_f32():
    shape = ["batch", "width"]
    write("identity-f32", [value("x", FLOAT, shape)], [value("y", FLOAT, shape)], [node("Identity", ["x"], ["y"])])


def add_mul():
    shape = ["batch", 4]
    write(
        "add-mul",
        [value("a", FLOAT, shape), value("b", FLOAT, shape)],
        [value("sum", FLOAT, shape), value("product", FLOAT, shape)],
        [node("Add", ["a", "b"], ["sum"]), node("Mul", ["a", "b"], ["product"])],
    )


def ints():
    shape = ["batch", 3]
    write(
        "ints",
        [value("small", INT32, shape), value("large", INT64, shape)],
        [value("doubled", INT32, shape), value("increased", INT64, shape)],
        [node("Mul", ["small", "two"], ["doubled"]), node("Add", ["large", "one"], ["increased"])],
        {"two": np.int32(2), "one": np.int64(1)},
    )


def no_batch():
    shape = [2, 3]
    nodes = [node("Mul", ["x", "two"], ["y"])]
    write("no-batch", [value("x", FLOAT, shape)], [value("y", FLOAT, shape)], nodes, {"two": np.float32(2)})


def scalar_out():
    nodes = [node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=0)]
    write("scalar-out", [value("x", FLOAT, ["batch", 5])], [value("mean", FLOAT, ["batch"])], nodes)


def fixed_batch_one():
    shape = [1, 4]
    write("fixed-batch-one", [value("x", FLOAT, shape)], [value("y", FLOAT, shape)], [node("Neg", ["x"], ["y"])])


def hadamard(size):
    matrix = np.ones((1, 1), dtype=np.int8)
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def slow():
    """About 20 ms a row on one thread, in many short steps, so that a run can be interrupted between two of them.

    Every row is repeated SLOW_ROWS times, goes through SLOW_STEPS of MatMul and Tanh, and the mean of the repetitions
    comes out. The matrix is orthogonal, so that rounding differences between engines do not grow from step to step.
    """
    nodes = [
        node("Cast", ["signs"], ["signs_f32"], to=FLOAT),
        node("Mul", ["signs_f32", "eighth"], ["matrix"]),
        node("Unsqueeze", ["x", "rows_axis"], ["row"]),
        node("Tile", ["row", "repeats"], ["h0"]),
    ]
    for i in range(SLOW_STEPS):
        nodes += [node("MatMul", [f"h{i}", "matrix"], [f"m{i}"]), node("Tanh", [f"m{i}"], [f"h{i + 1}"])]
    nodes.append(node("ReduceMean", [f"h{SLOW_STEPS}"], ["y"], axes=[1], keepdims=0))
    constants = {
        "signs": hadamard(64),
        "eighth": np.float32(0.125),
        "rows_axis": np.array([1], dtype=np.int64),
        "repeats": np.array([1, SLOW_ROWS, 1], dtype=np.int64),
    }
    write("slow", [value("x", FLOAT, ["batch", 64])], [value("y", FLOAT, ["batch", 64])], nodes, constants)


if __name__ == "__main__":
    for make in (identity_f32, add_mul, ints, no_batch, scalar_out, fixed_batch_one, slow):
        make()
