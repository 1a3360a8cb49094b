"""Small random ensembles that no converter writes today and a file may still hold: every mode, transform, aggregate, set of
base values and place of weights, as ONNX Runtime takes them."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SEED = 29
FEATURES = 4
ROWS = 40
INEQUALITIES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"]
MODES = INEQUALITIES + ["BRANCH_EQ", "BRANCH_NEQ"]
TRANSFORMS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]


class Odd:
    """A model of one node and the rows that it is asked about."""

    def __init__(self, name, model, rows):
        self.name, self.model, self.rows = name, model, rows

    def cases(self):
        return {"batch-1": self.rows[:1], f"batch-{len(self.rows)}": self.rows}

    def inputs(self, rows):
        return {"X": rows}


def grow(rng, modes, trees, depth):
    """Lists of nodes, and for each leaf its tree and node."""
    nodes = {key: [] for key in ("treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids")}
    nodes["missing_value_tracks_true"], leaves = [], []

    def add(tree, count, level):
        node = count[0]
        count[0] += 1
        at = len(nodes["treeids"])
        is_leaf = level == depth or (level > 0 and rng.random() < 0.25)
        row = (tree, node, "LEAF" if is_leaf else str(rng.choice(modes)), int(rng.integers(FEATURES)))
        # Halves, so that rows meet thresholds exactly.
        row += (float(rng.integers(-4, 5) / 2), 0, 0, int(rng.random() < 0.5))
        for values, value in zip(nodes.values(), row):
            values.append(value)
        if is_leaf:
            leaves.append((tree, node))
            return node
        nodes["truenodeids"][at] = add(tree, count, level + 1)
        nodes["falsenodeids"][at] = add(tree, count, level + 1)
        return node

    for tree in range(trees):
        add(tree, [0], 0)
    return {f"nodes_{key}": values for key, values in nodes.items()}, leaves


def weigh(rng, leaves, targets, where, sign):
    """Weights: one of one target, one of any, all, or some with repeats and gaps."""
    ids, at = [], []
    for leaf in leaves:
        if where == "all":
            own = list(range(targets))
        elif where == "any":
            own = [int(rng.integers(targets))]
        elif where == "some":
            own = [int(i) for i in rng.integers(0, targets, rng.integers(0, targets + 2))]
        else:
            own = [int(where)]
        ids += own
        at += [leaf] * len(own)
    weights = rng.random(len(ids)).astype(np.float32)
    if sign == "mixed":
        weights = weights - np.float32(0.5)
    elif sign == "negative":
        weights = -weights
    return ids, at, weights


def ask(rng, dtype, missing=True):
    rows = (rng.integers(-5, 6, (ROWS, FEATURES)) / 2).astype(dtype)
    rows[0, 0] = -0.0
    if missing and dtype in (np.float32, np.float64):
        rows[rng.random(rows.shape) < 0.15] = np.nan
        rows[1] = [np.inf, -np.inf, np.nan, 0.0]
    return rows


ELEMENTS = {
    np.float32: TensorProto.FLOAT,
    np.float64: TensorProto.DOUBLE,
    np.int64: TensorProto.INT64,
    np.int32: TensorProto.INT32,
}


def graph(name, node, outputs, dtype, version):
    inputs = [helper.make_tensor_value_info("X", ELEMENTS[dtype], ["rows", FEATURES])]
    body = helper.make_graph([node], name, inputs, outputs)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", version)]
    return helper.make_model(body, opset_imports=opsets, ir_version=8, producer_name="unruffled")


def classifier(rng, name, classes, where, sign, transform="NONE", base=0, modes=MODES, dtype=np.float32, trees=5, labels=None):
    nodes, leaves = grow(rng, modes, trees, 4)
    ids, at, weights = weigh(rng, leaves, classes, where, sign)
    settings = {**nodes, "class_ids": ids, "class_weights": weights, "post_transform": transform}
    settings |= {"class_treeids": [tree for tree, _ in at], "class_nodeids": [node for _, node in at]}
    if dtype == np.float64:
        # Thresholds that no 32-bit float is.
        for key in ("nodes_values", "class_weights"):
            values = np.asarray(settings.pop(key), dtype=np.float64) + (1e-12 if key == "nodes_values" else 0)
            settings[f"{key}_as_tensor"] = numpy_helper.from_array(values, key)
    if base:
        settings["base_values"] = (rng.random(base) - 0.5).astype(np.float32)
    labels = labels or list(range(classes))
    settings["classlabels_strings" if isinstance(labels[0], str) else "classlabels_int64s"] = labels
    node = helper.make_node(
        "TreeEnsembleClassifier", ["X"], ["label", "scores"], domain="ai.onnx.ml", **settings
    )
    kind = TensorProto.STRING if isinstance(labels[0], str) else TensorProto.INT64
    outputs = [helper.make_tensor_value_info("label", kind, ["rows"])]
    outputs.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", classes]))
    return Odd(name, graph(name, node, outputs, dtype, 3), ask(rng, dtype))


def regressor(rng, name, targets, where, aggregate="SUM", transform="NONE", base=False, modes=MODES, dtype=np.float32):
    nodes, leaves = grow(rng, modes, 5, 4)
    ids, at, weights = weigh(rng, leaves, targets, where, "mixed" if transform != "PROBIT" else "positive")
    if transform == "PROBIT":
        weights = weights / 6
    settings = {**nodes, "target_ids": ids, "target_weights": weights, "post_transform": transform}
    settings |= {"target_treeids": [tree for tree, _ in at], "target_nodeids": [node for _, node in at]}
    settings |= {"n_targets": targets, "aggregate_function": aggregate}
    if base:
        settings["base_values"] = (rng.random(targets) * 0.1).astype(np.float32)
    node = helper.make_node("TreeEnsembleRegressor", ["X"], ["Y"], domain="ai.onnx.ml", **settings)
    outputs = [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["rows", targets])]
    return Odd(name, graph(name, node, outputs, dtype, 3), ask(rng, dtype))


def compact(rng, name, targets, aggregate=1, transform=0, dtype=np.float32, modes=range(7), trees=4, depth=4):
    """The newer operator, with leaves in a list of their own."""
    rows = {key: [] for key in ("featureids", "truenodeids", "falsenodeids", "trueleafs", "falseleafs")}
    missing, splits, kinds, members, leaves, roots = [], [], [], [], [], []

    def leaf():
        leaves.append((int(rng.integers(targets)), float(np.float32(rng.random() - 0.5))))
        return len(leaves) - 1

    def add(level):
        at = len(splits)
        mode = int(rng.choice(list(modes)))
        splits.append(float(rng.integers(-4, 5) / 2))
        kinds.append(mode)
        missing.append(int(rng.random() < 0.5))
        for key, values in rows.items():
            values.append(int(rng.integers(FEATURES)) if key == "featureids" else 0)
        if mode == 6:
            members.extend(float(x) for x in rng.choice(np.arange(1, 6), rng.integers(1, 4), replace=False))
            members.append(np.nan)
        for side in ("true", "false"):
            is_leaf = level + 1 == depth or rng.random() < 0.25
            child = leaf() if is_leaf else add(level + 1)
            rows[f"{side}leafs"][at], rows[f"{side}nodeids"][at] = int(is_leaf), child
        return at

    for _ in range(trees):
        roots.append(add(0))

    def tensor(values, kind=dtype):
        return numpy_helper.from_array(np.array(values, dtype=kind))

    settings = {f"nodes_{key}": values for key, values in rows.items()}
    settings |= {"nodes_splits": tensor(splits), "nodes_modes": tensor(kinds, np.uint8), "tree_roots": roots}
    settings |= {"leaf_targetids": [target for target, _ in leaves], "leaf_weights": tensor([w for _, w in leaves])}
    settings |= {"nodes_missing_value_tracks_true": missing, "n_targets": targets}
    settings |= {"aggregate_function": aggregate, "post_transform": transform}
    if members:
        settings["membership_values"] = tensor(members)
    node = helper.make_node("TreeEnsemble", ["X"], ["Y"], domain="ai.onnx.ml", **settings)
    outputs = [helper.make_tensor_value_info("Y", ELEMENTS[dtype], ["rows", targets])]
    asked = ask(rng, dtype)
    asked[2:] = np.where(rng.random((ROWS - 2, FEATURES)) < 0.5, np.round(np.abs(asked[2:])), asked[2:])
    return Odd(name, graph(name, node, outputs, dtype, 5), asked)


def models():
    rng = np.random.default_rng(SEED)
    for mode in MODES:
        yield regressor(rng, f"odd-{mode.lower().replace('_', '-')}", 1, "0", modes=[mode])
    yield regressor(rng, "odd-inequalities", 1, "0", modes=INEQUALITIES)
    yield regressor(rng, "odd-regressor-float64", 2, "all", dtype=np.float64, modes=INEQUALITIES)
    for dtype in (np.float64, np.int64, np.int32):
        yield classifier(rng, f"odd-classifier-{dtype.__name__}", 3, "all", "mixed", dtype=dtype)
    for aggregate in ("SUM", "AVERAGE", "MIN", "MAX"):
        name = f"odd-{aggregate.lower()}"
        yield regressor(rng, f"{name}-one", 1, "0", aggregate=aggregate, base=True)
        yield regressor(rng, f"{name}-all", 3, "all", aggregate=aggregate)
        yield regressor(rng, f"{name}-some", 3, "some", aggregate=aggregate, base=True)
    for transform in TRANSFORMS:
        name = transform.lower().replace("_", "-")
        yield regressor(rng, f"odd-{name}-one", 1, "0", transform=transform)
        if transform != "PROBIT":
            yield regressor(rng, f"odd-{name}-targets", 3, "any", transform=transform)
            yield classifier(rng, f"odd-{name}-classes", 3, "any", "mixed", transform=transform, base=3)
            for sign in ("positive", "mixed", "negative"):
                yield classifier(rng, f"odd-{name}-binary-{sign}", 2, "0", sign, transform=transform)
    for where in ("0", "1", "any", "all", "some"):
        for base in (0, 1, 2):
            for sign in ("positive", "mixed"):
                yield classifier(rng, f"odd-two-{where}-base-{base}-{sign}", 2, where, sign, base=base)
    for where in ("1", "any", "all", "some"):
        for sign in ("negative", "mixed"):
            yield classifier(rng, f"odd-many-{where}-{sign}", 4, where, sign, labels=["a", "b", "", "ü"])
    yield classifier(rng, "odd-two-words", 2, "any", "mixed", labels=["no", "yes"])
    yield classifier(rng, "odd-two-other-integers", 2, "all", "mixed", labels=[5, 9])
    yield classifier(rng, "odd-binary-other-integers", 2, "0", "mixed", labels=[5, 9])
    yield classifier(rng, "odd-many-based", 6, "some", "negative", base=6)
    for mode in range(7):
        yield compact(rng, f"odd-compact-mode-{mode}", 1, modes=[mode])
    for dtype in (np.float32, np.float64):
        yield compact(rng, f"odd-compact-{dtype.__name__}", 3, dtype=dtype, modes=range(6))
    for aggregate in range(4):
        yield compact(rng, f"odd-compact-aggregate-{aggregate}", 2, aggregate=aggregate)
    # Of transforms 1 and 2 ONNX Runtime has the meanings exchanged.
    yield compact(rng, "odd-compact-softmax-zero", 3, transform=3)
