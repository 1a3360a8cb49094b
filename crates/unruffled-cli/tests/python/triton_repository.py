"""Asks a server that was started over a Triton repository, with Triton's client: python triton_repository.py HOST:PORT.

The repository has `digits` (versions 1 and 2, batched), `whole` (the digits without a batch), `best` (an ensemble of `digits` and
`twice`, which is the digits again) and `silero-vad` (a sequence).
"""

import sys

import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

URL = sys.argv[1]
ZEROS = np.zeros([3, 8, 8], dtype=np.float32)


def one(name, array):
    tensor = http.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor


def configurations(client):
    digits = client.get_model_config("digits")
    assert digits["max_batch_size"] == 16, digits
    assert digits["input"] == [{"name": "image", "data_type": "TYPE_FP32", "dims": [8, 8]}], digits
    outputs = {output["name"]: output["dims"] for output in digits["output"]}
    assert outputs == {"probabilities": [10], "label": [1]}, digits
    assert digits["instance_group"][0]["count"] == 2, digits
    whole = client.get_model_config("whole")
    assert whole["max_batch_size"] == 0 and whole["input"][0]["dims"] == [-1, 8, 8], whole
    assert "sequence_batching" in client.get_model_config("silero-vad")
    metadata = client.get_model_metadata("digits")
    assert sorted(metadata["versions"]) == ["1", "2"], metadata
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 8, 8]}], metadata


def answers(client):
    for version in ["", "1", "2"]:
        result = client.infer("digits", [one("image", ZEROS)], model_version=version)
        assert result.as_numpy("label").shape == (3, 1)
    best = client.infer(
        "digits", [one("image", ZEROS)], outputs=[http.InferRequestedOutput("probabilities", class_count=1)]
    )
    assert best.as_numpy("probabilities")[0, 0].count(b":") == 2, "the label stands behind value and class"
    whole = client.infer("whole", [one("image", ZEROS)])
    np.testing.assert_array_equal(whole.as_numpy("probabilities"), result.as_numpy("probabilities"))
    both = client.infer("best", [one("PICTURE", ZEROS)], model_version="1")
    np.testing.assert_array_equal(both.as_numpy("SCORES"), result.as_numpy("probabilities"))
    np.testing.assert_array_equal(both.as_numpy("AGAIN").ravel(), result.as_numpy("label").ravel())
    try:
        client.infer("whole", [one("image", ZEROS)], model_version="1")
    except InferenceServerException as error:
        assert error.status() == "404", error
    else:
        raise AssertionError("only the latest version is served unless the policy says otherwise")


def sequences(client):
    pieces = [np.sin(np.arange(576 * n, 576 * (n + 1), dtype=np.float32) * 0.01)[None] * 0.3 for n in range(4)]
    rate = np.array([16000], dtype=np.int64)

    def hear(sequence, n):
        result = client.infer(
            "silero-vad",
            [one("input", pieces[n].astype(np.float32)), one("sr", rate)],
            sequence_id=sequence,
            sequence_start=n == 0,
            sequence_end=n == len(pieces) - 1,
        )
        assert result.as_numpy("stateN") is None
        return float(result.as_numpy("output")[0, 0])

    alone = [hear(1, n) for n in range(len(pieces))]
    company = [(hear(2, n), hear(3, n)) for n in range(len(pieces))]
    np.testing.assert_allclose(company, [(x, x) for x in alone], atol=1e-6)


with http.InferenceServerClient(URL) as client:
    for model in ["digits", "whole", "best", "silero-vad"]:
        assert client.is_model_ready(model), model
    assert not client.is_model_ready("tensorrt")
    configurations(client)
    answers(client)
    sequences(client)
print("all is well")
