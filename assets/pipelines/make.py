"""Makes a recording of speech with silences, for the tests of pipelines: `make.py --out FOLDER`.

`speech.wav` holds sentences that espeak-ng speaks, with silence before, between and behind them; `speech.json` says where
each begins and ends, in seconds, by how loud it is.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile
import wave

import numpy

SENTENCES = [
    "The harbour was quiet that evening, and nobody waited for the boat.",
    "Seven lamps were burning along the pier.",
    "Then the wind turned, and everything began to move again.",
]
PAUSES = [1.0, 1.5, 2.0, 1.2]  # seconds
LOUD = 0.02  # of full scale


def spoken(text: str, folder: pathlib.Path) -> tuple[numpy.ndarray, int]:
    file = folder / "sentence.wav"
    subprocess.run(["espeak-ng", "-v", "en", "-s", "150", "-w", str(file), text], check=True)
    with wave.open(str(file)) as sound:
        assert sound.getsampwidth() == 2 and sound.getnchannels() == 1
        samples = numpy.frombuffer(sound.readframes(sound.getnframes()), numpy.int16)
        rate = sound.getframerate()
    loud = numpy.flatnonzero(numpy.abs(samples) > LOUD * 32768)
    return samples[loud[0] : loud[-1] + 1], rate


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True)
    parts, times, at = [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        for pause, text in zip(PAUSES, SENTENCES):
            samples, rate = spoken(text, pathlib.Path(folder))
            parts += [numpy.zeros(int(pause * rate), numpy.int16), samples]
            begin = at + len(parts[-2])
            at = begin + len(samples)
            times.append([begin / rate, at / rate])
    parts.append(numpy.zeros(int(PAUSES[-1] * rate), numpy.int16))
    with wave.open(str(out / "speech.wav"), "wb") as sound:
        sound.setparams((1, 2, rate, 0, "NONE", ""))
        sound.writeframes(numpy.concatenate(parts).tobytes())
    (out / "speech.json").write_text(json.dumps({"speech": times}))


main()
