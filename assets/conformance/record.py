"""Records what ONNX Runtime answers, so that every backend can be held against it.

    pip install -r requirements.txt
    python record.py [models folder ...]

Without arguments it reads models/ beside this file, ../models and, when they have been gathered, ../../models. For each
model it writes MODEL/CASE/in.NAME.npy and MODEL/CASE/out.NAME.npy; unsafe characters of a name are percent-encoded.
Inputs are seeded, runs use the CPU and one thread.
"""

import json
import pathlib
import shutil
import sys
import urllib.parse

import numpy as np
import onnxruntime
from PIL import Image, ImageDraw, ImageFont

HERE = pathlib.Path(__file__).resolve().parent
ASSETS = HERE.parent
SEED = 20
# Kept as inputs only: the answer is too large to be worth keeping.
OUTPUT_BYTES_MAX = 512 * 1024


def random(model, case):
    """A generator of its own for each case, so that adding a case changes no other."""
    return np.random.default_rng([SEED, *f"{model}/{case}".encode()])


def normal(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)


# --- cases: each function yields (case name, inputs by name); `run` answers for a model that needs its own outputs ---


def identity_f32(run):
    for batch, width in [(1, 4), (3, 4), (8, 1), (2, 17)]:
        case = f"batch-{batch}-width-{width}"
        yield case, {"x": normal(random("identity-f32", case), batch, width)}
    # What a copy must not change: signs of zero, the smallest and largest numbers, infinities.
    limits = np.finfo(np.float32)
    edges = [0.0, -0.0, limits.tiny, -limits.smallest_subnormal, limits.max, limits.min, np.inf, -np.inf]
    yield "edges", {"x": np.array([edges], dtype=np.float32)}


def add_mul(run):
    for batch in (1, 3, 8):
        rng = random("add-mul", str(batch))
        yield f"batch-{batch}", {"a": normal(rng, batch, 4), "b": normal(rng, batch, 4)}


def ints(run):
    for batch in (1, 3, 8):
        rng = random("ints", str(batch))
        small = rng.integers(-(2**30), 2**30, size=(batch, 3), dtype=np.int32)
        large = rng.integers(-(2**31) + 1, 2**31 - 1, size=(batch, 3), dtype=np.int64)
        yield f"batch-{batch}", {"small": small, "large": large}
    # Needs 64 bits: an engine that computes in 32 must refuse it, never answer wrongly.
    wide = np.array([[2**40, -(2**40), 2**31]], dtype=np.int64)
    yield "wide", {"small": np.array([[0, 1, -1]], dtype=np.int32), "large": wide}


def no_batch(run):
    for case in ("first", "second"):
        yield case, {"x": normal(random("no-batch", case), 2, 3)}


def scalar_out(run):
    for batch in (1, 3, 8):
        yield f"batch-{batch}", {"x": normal(random("scalar-out", str(batch)), batch, 5)}


def fixed_batch_one(run):
    for case in ("first", "second"):
        yield case, {"x": normal(random("fixed-batch-one", case), 1, 4)}


def slow(run):
    for batch in (1, 3):
        yield f"batch-{batch}", {"x": normal(random("slow", str(batch)), batch, 64)}


def digits(run):
    request = json.loads((ASSETS / "models" / "digits" / "samples" / "seven.json").read_text())["inputs"][0]
    seven = np.array(request["data"], dtype=np.float32).reshape(request["shape"])
    yield "seven", {"image": seven}
    for batch in (1, 3, 8):
        rng = random("digits", str(batch))
        yield f"batch-{batch}", {"image": rng.integers(0, 17, size=(batch, 8, 8)).astype(np.float32)}


def magika(run):
    paths = sorted(p for p in (ASSETS / "samples").iterdir() if p.is_file() and p.suffix != ".md")
    tokens = {path.name: file_tokens(path.read_bytes()) for path in paths}
    for name, row in tokens.items():
        yield f"file-{name}", {"bytes": row[None]}
    yield "files", {"bytes": np.stack(list(tokens.values()))}
    rng = random("magika", "noise")
    yield "noise", {"bytes": rng.integers(0, 257, size=(8, 2048), dtype=np.int32)}


def file_tokens(data, begin=1024, end=1024, block=4096, padding=256):
    """The first and last bytes of a file as magika takes them."""
    first = list(data[:block].lstrip()[:begin])
    last = list(data[-block:].rstrip()[-end:])
    row = first + [padding] * (begin - len(first)) + [padding] * (end - len(last)) + last
    return np.array(row, dtype=np.int32)


def silero_vad(run):
    def inputs(sound, state, rate=16000):
        return {"input": sound.astype(np.float32), "state": state, "sr": np.array(rate, dtype=np.int64)}

    def zero(batch):
        return np.zeros((2, batch, 128), dtype=np.float32)

    rng = random("silero-vad", "sound")
    time = np.arange(3 * 512 + 64) / 16000.0
    vowel = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 12)) * 0.1  # a buzz with the harmonics of a voice
    noise = 0.05 * normal(rng, 3, 576)
    yield "noise", inputs(noise[:1], zero(1))
    yield "noise-batch-3", inputs(noise, zero(3))
    yield "rate-8000", inputs(noise[:1, :288], zero(1), 8000)
    state = zero(1)
    for step in range(3):
        piece = inputs(vowel[None, step * 512 : step * 512 + 576], state)
        yield f"buzz-step-{step + 1}", piece
        state = run(piece)["stateN"]


def minilm(run):
    sentences = [
        # "A man is playing a guitar on stage."
        [101, 1037, 2158, 2003, 2652, 1037, 2858, 2006, 2754, 1012, 102],
        # "Someone plays the guitar in front of an audience."
        [101, 2619, 3248, 1996, 2858, 1999, 2392, 1997, 2019, 4378, 1012, 102],
        # "How do I bake bread?"
        [101, 2129, 2079, 1045, 8670, 3489, 7852, 1029, 102],
    ]

    def inputs(rows):
        width = max(len(row) for row in rows)
        ids = np.array([row + [0] * (width - len(row)) for row in rows], dtype=np.int64)
        mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows], dtype=np.int64)
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}

    yield "one-sentence", inputs(sentences[:1])
    yield "three-sentences-padded", inputs(sentences)
    rng = random("minilm", "tokens")
    yield "batch-8-sequence-5", inputs(rng.integers(1000, 30000, size=(8, 5)).tolist())
    yield "sequence-64", inputs(rng.integers(1000, 30000, size=(1, 64)).tolist())


def ppocr_picture(text, width, height):
    picture = Image.new("RGB", (width, height), "white")
    font = ImageFont.load_default(size=int(height * 0.7))
    ImageDraw.Draw(picture).text((width / 2, height / 2), text, fill="black", font=font, anchor="mm")
    blue_green_red = np.asarray(picture, dtype=np.float32)[:, :, ::-1].transpose(2, 0, 1)
    return ((blue_green_red / 255.0 - 0.5) / 0.5)[None]


def ppocr_det(run):
    yield "word-64x96", {"x": ppocr_picture("word", 96, 64)}
    for batch, height, width in [(1, 32, 64), (3, 32, 64)]:
        case = f"batch-{batch}-{height}x{width}"
        yield case, {"x": random("ppocr-det", case).uniform(-1, 1, (batch, 3, height, width)).astype(np.float32)}


def ppocr_rec(run):
    yield "text-42", {"x": ppocr_picture("42", 64, 48)}
    for batch, width in [(1, 48), (3, 32)]:
        case = f"batch-{batch}-width-{width}"
        yield case, {"x": random("ppocr-rec", case).uniform(-1, 1, (batch, 3, 48, width)).astype(np.float32)}


CASES = {
    "identity-f32": identity_f32,
    "add-mul": add_mul,
    "ints": ints,
    "no-batch": no_batch,
    "scalar-out": scalar_out,
    "fixed-batch-one": fixed_batch_one,
    "slow": slow,
    "digits": digits,
    "magika": magika,
    "silero-vad": silero_vad,
    "minilm": minilm,
    "ppocr-det": ppocr_det,
    "ppocr-rec": ppocr_rec,
}


def open_session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def save(folder, side, name, array):
    array = np.asarray(array)
    if side == "out" and array.nbytes > OUTPUT_BYTES_MAX:
        return
    path = folder / f"{side}.{urllib.parse.quote(name, safe='')}.npy"
    with open(path, "wb") as file:
        np.lib.format.write_array(file, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)


def record(name, path):
    session = open_session(path)
    outputs = [output.name for output in session.get_outputs()]

    def run(inputs):
        return dict(zip(outputs, session.run(outputs, inputs)))

    shutil.rmtree(HERE / name, ignore_errors=True)
    count = 0
    for case, inputs in CASES[name](run):
        folder = HERE / name / case
        folder.mkdir(parents=True)
        for input_name, array in inputs.items():
            save(folder, "in", input_name, array)
        for output_name, array in run(inputs).items():
            save(folder, "out", output_name, array)
        count += 1
    print(f"{name}: {count} cases")


def main():
    standard = [HERE / "models", ASSETS / "models", ASSETS.parent / "models"]
    folders = [pathlib.Path(argument) for argument in sys.argv[1:]] or [folder for folder in standard if folder.is_dir()]
    for folder in folders:
        for path in sorted(folder.glob("*/1/model.onnx")):
            name = path.parent.parent.name
            if name in CASES:
                record(name, path)
            else:
                print(f"{name}: no cases, left out")


if __name__ == "__main__":
    main()
