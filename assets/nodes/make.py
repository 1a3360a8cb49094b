"""Brings the ONNX standard's own tests, as they come with the package `onnx`, into one form on disk.

    python make.py --out FOLDER

Each becomes FOLDER/NAME with `model.onnx`, `about.toml` (what kind of test it is, how far off an answer may be, and what its
inputs and outputs are called and hold) and, for each set of values, SET/in.N.pb and SET/out.N.pb in the standard's own
encoding: TensorProto, SequenceProto, OptionalProto or MapProto. Two runs write the same bytes.
"""

import argparse
import json
import pathlib
import warnings

import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test.loader import DATA_DIR, load_model_tests

# The others are whole networks: one kind lacks its weights, the other would have to be fetched.
STORED = ["simple", "pytorch-operator", "pytorch-converted"]

ENCODE = {
    "map": numpy_helper.from_dict,
    "optional": numpy_helper.from_optional,
    "sequence": numpy_helper.from_list,
    "tensor": numpy_helper.from_array,
}


def about(case, model, inputs, outputs):
    def value(info):
        return f"{{ name = {json.dumps(info.name)}, kind = {json.dumps(kind(info))} }}"

    def values(infos):
        return "".join(f"  {value(info)},\n" for info in infos)

    return (
        f"kind = {json.dumps(case.kind)}\nrtol = {float(case.rtol)}\natol = {float(case.atol)}\n"
        f"inputs = [\n{values(model.graph.input[:inputs])}]\noutputs = [\n{values(model.graph.output[:outputs])}]\n"
    )


def kind(info):
    """Which of the standard's messages holds the value."""
    return info.type.WhichOneof("value").removesuffix("_type")


def encoded(value, info):
    if isinstance(value, TensorProto):
        return value.SerializeToString(deterministic=True)
    return ENCODE[kind(info)](value, info.name).SerializeToString(deterministic=True)


def generated(case):
    """The model and the sets of encoded values of a test that the package makes when asked."""
    graph = case.model.graph
    sets = [
        [[encoded(value, info) for value, info in zip(values, infos)] for values, infos in zip(one, (graph.input, graph.output))]
        for one in case.data_sets
    ]
    return case.model, sets


def stored(case):
    """The same of a test that the package keeps as files."""
    folder = pathlib.Path(case.model_dir)
    model = onnx.load_model_from_string((folder / "model.onnx").read_bytes())

    def values(one, what):
        count = len(list(one.glob(f"{what}_*.pb")))
        return [(one / f"{what}_{i}.pb").read_bytes() for i in range(count)]

    sets = [[values(one, "input"), values(one, "output")] for one in sorted(folder.glob("test_data_set_*"))]
    return model, sets


def write(out, case, model, sets):
    folder = out / case.name
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    inputs, outputs = (max(len(one[i]) for one in sets) for i in (0, 1))
    (folder / "about.toml").write_text(about(case, model, inputs, outputs))
    for i, (given, expected) in enumerate(sets):
        (folder / str(i)).mkdir()
        for what, values in (("in", given), ("out", expected)):
            for j, value in enumerate(values):
                (folder / str(i) / f"{what}.{j}.pb").write_bytes(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the folder to write into; must not exist or be empty")
    out = parser.parse_args().out
    # Some tests divide by zero on purpose.
    warnings.simplefilter("ignore")
    count = 0
    for case in load_model_tests(kind="node"):
        write(out, case, *generated(case))
        count += 1
    for name in STORED:
        for case in sorted(load_model_tests(DATA_DIR, name), key=lambda case: case.name):
            write(out, case, *stored(case))
            count += 1
    print(f"{count} tests of onnx {onnx.__version__}")


if __name__ == "__main__":
    main()
