"""Records what others make of the same inputs, so that the steps can be held against them.

    pip install -r requirements.txt
    python record.py

It needs the gathered models (`cargo xtask models`) and the package of silero-vad that they came out of; the pictures need the
DejaVu fonts (Debian's fonts-dejavu-core). Nothing is random but for seeds.
"""

import ast
import json
import pathlib
import typing
import zipfile

import numpy as np
import onnxruntime
import soundfile
from PIL import Image, ImageDraw, ImageFont
from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).resolve().parent
MODELS = HERE.parent.parent / "models"
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
SEED = 20

TEXTS = [
    "A cat sits on the mat.",
    "Unruffled: any synchronous model behind an async API!",
    "",
    "   white \t space\n",
    "Grüße aus 東京 🎉 naïve café",
    "antidisestablishmentarianism " * 3,
    "[CLS] special [SEP] words [MASK]",
    "a" * 150,
]


def tokens():
    """What the tokenizers package makes of texts, several in a request and cut to a length."""
    cases = []
    for most in (256, 8):
        for texts in [TEXTS, TEXTS[:1], TEXTS[2:3]]:
            tokenizer = Tokenizer.from_file(str(MODELS / "minilm/tokenizer.json"))
            tokenizer.enable_truncation(most)
            tokenizer.enable_padding()
            encoded = tokenizer.encode_batch(texts)
            cases.append(
                {
                    "texts": texts,
                    "tokens_max": most,
                    "input_ids": [one.ids for one in encoded],
                    "attention_mask": [one.attention_mask for one in encoded],
                    "token_type_ids": [one.type_ids for one in encoded],
                }
            )
    (HERE / "tokens.json").write_text(json.dumps(cases, ensure_ascii=False, separators=(",", ":")) + "\n")


def embeddings():
    """What all-MiniLM-L6-v2 makes of each text alone: tokenizers and ONNX Runtime."""
    tokenizer = Tokenizer.from_file(str(MODELS / "minilm/tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.no_padding()
    session = onnxruntime.InferenceSession(str(MODELS / "minilm/1/model.onnx"))
    rows = []
    for text in TEXTS[:3]:
        one = tokenizer.encode(text)
        columns = {"input_ids": one.ids, "attention_mask": one.attention_mask, "token_type_ids": one.type_ids}
        inputs = {name: np.array([column], dtype=np.int64) for name, column in columns.items()}
        rows.append(session.run(["sentence_embedding"], inputs)[0][0])
    np.save(HERE / "embeddings.npy", np.stack(rows))


def pooled():
    """The mean of tokens as the model card of all-MiniLM-L6-v2 writes it, in double precision."""
    rng = np.random.default_rng(SEED)
    hidden = rng.standard_normal((3, 5, 8), dtype=np.float32)
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 1, 0, 1]], dtype=np.int64)
    wide = mask[:, :, None].astype(np.float64)
    mean = (hidden * wide).sum(1) / np.clip(wide.sum(1), 1e-9, None)
    unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    arrays = {"hidden": hidden, "mask": mask, "mean": mean.astype(np.float32), "unit": unit.astype(np.float32)}
    for name, array in arrays.items():
        np.save(HERE / f"pool.{name}.npy", array)


def silero():
    """The function of silero-vad that makes segments of probabilities; the rest of its module needs torch."""
    [wheel] = (MODELS / ".cache").glob("silero_vad-*.whl")
    source = zipfile.ZipFile(wheel).read("silero_vad/utils_vad.py").decode()
    wanted = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == "get_speech_timestamps_from_probs"
    ]
    module = ast.Module(body=wanted, type_ignores=[])
    names = {"List": typing.List}
    exec(compile(module, "utils_vad.py", "exec"), names)
    return names["get_speech_timestamps_from_probs"]


def segments():
    """What silero-vad makes of probabilities that wander, at several settings."""
    find = silero()
    rng = np.random.default_rng(SEED)
    settings = [
        {},
        {"threshold": 0.7},
        {"min_speech_duration_ms": 0, "speech_pad_ms": 0, "min_silence_duration_ms": 0},
        {"min_silence_duration_ms": 32, "speech_pad_ms": 200, "min_speech_duration_ms": 32},
        {"min_silence_duration_ms": 1000, "speech_pad_ms": 100},
        {"neg_threshold": 0.5, "speech_pad_ms": 77},
    ]
    cases = []
    for at in range(24):
        chosen = settings[at % len(settings)]
        # Speech and silence by turns, each of a length of its own, with noise on top.
        level, probabilities = 0.05, []
        while len(probabilities) < 150:
            probabilities += [level] * int(rng.integers(1, 16))
            level = 0.9 if level < 0.5 else 0.05
        noisy = np.clip(np.array(probabilities) + rng.normal(0, 0.2, len(probabilities)), 0, 1)
        noisy = [float(np.float32(round(value, 2))) for value in noisy]
        length = len(noisy) * 512 - int(rng.integers(0, 512))
        found = find(noisy, audio_length_samples=length, **chosen)
        cases.append(
            {
                "settings": chosen,
                "probabilities": [round(value, 2) for value in noisy],
                "length": length,
                "segments": [[one["start"], one["end"]] for one in found],
            }
        )
    (HERE / "segments.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


def sounds():
    """Half a second of a tone of 440 Hz, half as loud as can be, in each format; the right channel is half the left."""
    at = np.arange(22_050) / 44_100
    left = 0.5 * np.sin(2 * np.pi * 440 * at)
    both = np.stack([left, left / 2], axis=1)
    for ending in ("flac", "ogg", "mp3"):
        soundfile.write(HERE / f"tone.{ending}", both, 44_100)


def page():
    """A page of four lines, one of them slanted and one of two columns."""
    picture = Image.new("RGB", (640, 360), "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.truetype(FONT, 32)
    draw.text((40, 30), "Invoice 2026-1129", font=font, fill="black")
    draw.text((40, 100), "Total", font=font, fill="black")
    draw.text((420, 100), "184.50", font=font, fill="black")
    draw.text((40, 170), "Thank you for waiting", font=font, fill=(20, 40, 120))
    slanted = Image.new("RGBA", (420, 60), (255, 255, 255, 0))
    ImageDraw.Draw(slanted).text((10, 8), "never blocked", font=font, fill="black")
    slanted = slanted.rotate(12, expand=True, resample=Image.Resampling.BICUBIC)
    picture.paste(slanted, (120, 225), slanted)
    picture.save(HERE / "page.png", optimize=True)


def main():
    for record in (tokens, embeddings, pooled, segments, sounds, page):
        record()
        print(record.__name__)


if __name__ == "__main__":
    main()
