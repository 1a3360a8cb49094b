"""Drives a server with Triton's client over HTTP: python triton_http.py HOST:PORT.

The server has the models `m`, which doubles x: FP32 [batch, 2] to y, and `echo`, which gives back what it takes.
"""

import asyncio
import os
import sys

import numpy as np
import tritonclient.http as http
import tritonclient.http.aio as http_aio
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

URL = sys.argv[1]
X = np.array([[1.0, 2.5]], dtype=np.float32)


def one(name, array, binary=True):
    tensor = http.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array, binary_data=binary)
    return [tensor]


def refused(status, parts, call):
    try:
        call()
    except InferenceServerException as error:
        assert error.status() == str(status), error
        for part in parts:
            assert part in error.message(), error
    else:
        raise AssertionError(f"nothing was refused; expected {status}")


def about(client):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("m")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("m")["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
    assert client.get_model_config("m")["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}]
    assert {"name": "m", "state": "READY"} in client.get_model_repository_index()
    refused(404, ["`nobody`"], lambda: client.get_model_metadata("nobody"))
    before = client.get_inference_statistics("m")["model_stats"][0]["inference_count"]
    client.infer("m", one("x", np.repeat(X, 3, axis=0)))
    assert client.get_inference_statistics("m")["model_stats"][0]["inference_count"] == before + 3
    assert client.get_trace_settings()["trace_level"] == ["OFF"]
    assert client.get_log_settings()["log_info"] is False
    assert client.update_log_settings({"log_info": True, "log_verbose_level": 1})["log_verbose_level"] == 1
    assert client.get_log_settings()["log_info"] is True
    client.update_log_settings({"log_info": False, "log_verbose_level": 0})
    refused(501, ["`log_file`"], lambda: client.update_log_settings({"log_file": "/tmp/log"}))
    assert client.get_cuda_shared_memory_status() == []
    client.unregister_cuda_shared_memory()
    refused(501, ["CUDA"], lambda: client.register_cuda_shared_memory("r", b"aGFuZGxl", 0, 8))


def infer(client):
    for binary in [True, False]:
        for compression in [None, "gzip", "deflate"]:
            result = client.infer(
                "m",
                one("x", X, binary),
                outputs=[http.InferRequestedOutput("y", binary_data=binary)],
                request_id="7",
                request_compression_algorithm=compression,
                response_compression_algorithm=compression,
            )
            np.testing.assert_array_equal(result.as_numpy("y"), 2 * X)
            assert result.get_response()["id"] == "7"
    large = np.arange(2_000_000, dtype=np.float32)
    for compression in [None, "gzip", "deflate"]:
        result = client.infer("echo", one("x", large), response_compression_algorithm=compression)
        np.testing.assert_array_equal(result.as_numpy("x"), large)
    timed = client.infer("m", one("x", X), priority=1, timeout=20_000_000, parameters={"tenant": "blue"})
    np.testing.assert_array_equal(timed.as_numpy("y"), 2 * X)
    strings = np.array([b"a\0\xff", b"", "ü".encode()], dtype=np.object_)
    arrays = [np.array([[1, 0]], dtype=dtype) for dtype in [
        bool, np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int16, np.int32, np.int64,
        np.float16, np.float32, np.float64,
    ]]
    for array in [*arrays, strings, np.zeros([0, 4], dtype=np.float32)]:
        np.testing.assert_array_equal(client.infer("echo", one("x", array)).as_numpy("x"), array)
    best = client.infer("m", one("x", X), outputs=[http.InferRequestedOutput("y", class_count=1)])
    np.testing.assert_array_equal(best.as_numpy("y"), np.array([[b"5:1"]], dtype=np.object_))
    wrong = np.zeros([1, 3], dtype=np.float32)
    refused(400, ["`x`", "[1, 3]"], lambda: client.infer("m", one("x", wrong)))
    refused(404, ["`nobody`"], lambda: client.infer("nobody", one("x", X)))
    asked = client.async_infer("m", one("x", X))
    np.testing.assert_array_equal(asked.get_result().as_numpy("y"), 2 * X)


def shared_memory(client):
    key = f"/unruffled_test_{os.getpid()}"
    region = shm.create_shared_memory_region("r", key, 2 * X.nbytes)
    try:
        shm.set_shared_memory_region(region, [X])
        client.register_system_shared_memory("r", key, 2 * X.nbytes)
        assert client.get_system_shared_memory_status()[0]["key"] == key
        tensor = http.InferInput("x", list(X.shape), "FP32")
        tensor.set_shared_memory("r", X.nbytes)
        wanted = http.InferRequestedOutput("y")
        wanted.set_shared_memory("r", X.nbytes, offset=X.nbytes)
        client.infer("m", [tensor], outputs=[wanted])
        given = shm.get_contents_as_numpy(region, np.float32, X.shape, offset=X.nbytes)
        np.testing.assert_array_equal(given, 2 * X)
        client.unregister_system_shared_memory("r")
    finally:
        shm.destroy_shared_memory_region(region)


async def with_asyncio():
    async with http_aio.InferenceServerClient(URL) as client:
        assert await client.is_server_ready()
        results = await asyncio.gather(*(client.infer("m", one("x", X * i)) for i in range(32)))
        for i, result in enumerate(results):
            np.testing.assert_array_equal(result.as_numpy("y"), 2 * X * i)
        # This one always says that it takes compressed answers.
        large = np.arange(200_000, dtype=np.float32)
        np.testing.assert_array_equal((await client.infer("echo", one("x", large))).as_numpy("x"), large)
        try:
            await client.infer("nobody", one("x", X))
        except InferenceServerException as error:
            assert "`nobody`" in error.message(), error
        else:
            raise AssertionError("nobody answered")


with http.InferenceServerClient(URL, concurrency=4) as client:
    about(client)
    infer(client)
    shared_memory(client)
asyncio.run(with_asyncio())
print("all is well")
