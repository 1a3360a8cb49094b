"""Drives a server with Triton's client over gRPC: python triton_grpc.py HOST:PORT.

The server has the models `m`, which doubles x: FP32 [batch, 2] to y, and `echo`, which gives back what it takes.
"""

import asyncio
import os
import queue
import sys

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.grpc.aio as grpc_aio
import tritonclient.utils.shared_memory as shm
from ml_dtypes import bfloat16
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

URL = sys.argv[1]
X = np.array([[1.0, 2.5]], dtype=np.float32)


def one(name, array, datatype=None):
    tensor = grpc.InferInput(name, list(array.shape), datatype or np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return [tensor]


def refused(code, parts, call):
    try:
        call()
    except InferenceServerException as error:
        assert error.status() == f"StatusCode.{code}", error
        for part in parts:
            assert part in error.message(), error
    else:
        raise AssertionError(f"nothing was refused; expected {code}")


def about():
    with grpc.InferenceServerClient(URL) as client:
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("m")
        assert client.get_server_metadata().name == "unruffled"
        metadata = client.get_model_metadata("m", as_json=True)
        assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "2"]}], metadata
        refused("NOT_FOUND", ["`nobody`"], lambda: client.get_model_metadata("nobody"))


def infer():
    with grpc.InferenceServerClient(URL) as client:
        for compression in [None, "gzip", "deflate"]:
            result = client.infer("m", one("x", X), request_id="7", compression_algorithm=compression)
            np.testing.assert_array_equal(result.as_numpy("y"), 2 * X)
            assert result.get_response().id == "7"
        picked = client.infer("m", one("x", X), outputs=[grpc.InferRequestedOutput("y")], client_timeout=20)
        np.testing.assert_array_equal(picked.as_numpy("y"), 2 * X)
        timed = client.infer("m", one("x", X), priority=1, timeout=20_000_000, parameters={"tenant": "blue"})
        np.testing.assert_array_equal(timed.as_numpy("y"), 2 * X)

        strings = np.array([b"a\0\xff", b"", "ü".encode()], dtype=np.object_)
        arrays = [np.array([[1, 0]], dtype=dtype) for dtype in [
            bool, np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int16, np.int32, np.int64,
            np.float16, np.float32, np.float64,
        ]]
        for array in [*arrays, strings, np.zeros([0, 4], dtype=np.float32)]:
            back = client.infer("echo", one("x", array)).as_numpy("x")
            np.testing.assert_array_equal(back, array)
        # NumPy has no such type of its own.
        back = client.infer("echo", one("x", X.astype(bfloat16), "BF16")).as_numpy("x")
        np.testing.assert_array_equal(back.astype(np.float32), X)

        large = np.arange(12_000_000, dtype=np.float32)
        np.testing.assert_array_equal(client.infer("echo", one("x", large)).as_numpy("x"), large)

        wrong = np.zeros([1, 3], dtype=np.float32)
        refused("INVALID_ARGUMENT", ["`x`", "[1, 3]"], lambda: client.infer("m", one("x", wrong)))
        refused("NOT_FOUND", ["`nobody`"], lambda: client.infer("nobody", one("x", X)))
        assert client.is_server_live()


def extensions():
    with grpc.InferenceServerClient(URL) as client:
        config = client.get_model_config("m", as_json=True)["config"]
        assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": ["2"]}], config
        before = client.get_inference_statistics("m").model_stats[0]
        client.infer("m", one("x", X))
        after = client.get_inference_statistics("m").model_stats[0]
        assert after.inference_count == before.inference_count + 1, (before, after)
        assert after.inference_stats.success.count == before.inference_stats.success.count + 1
        index = client.get_model_repository_index().models
        assert {model.name: model.state for model in index}["m"] == "READY", index
        assert client.get_trace_settings(as_json=True)["settings"]["trace_level"]["value"] == ["OFF"]
        told = client.get_log_settings(as_json=True)["settings"]
        assert told["log_error"] == {"bool_param": True}, told
        wanted = {"log_info": True, "log_verbose_level": 1, "log_format": "ISO8601"}
        told = client.update_log_settings(wanted, as_json=True)["settings"]
        assert (told["log_info"], told["log_verbose_level"]) == ({"bool_param": True}, {"uint32_param": 1}), told
        client.update_log_settings({"log_info": False, "log_verbose_level": 0})
        refused("UNIMPLEMENTED", ["`log_file`"], lambda: client.update_log_settings({"log_file": "/tmp/log"}))
        assert not client.get_cuda_shared_memory_status().regions
        register = lambda: client.register_cuda_shared_memory("r", b"aGFuZGxl", 0, 8)
        refused("UNIMPLEMENTED", ["CUDA"], register)

        best = client.infer("m", one("x", X), outputs=[grpc.InferRequestedOutput("y", class_count=2)])
        assert best.as_numpy("y").tolist() == [[b"5:1", b"2:0"]], best.as_numpy("y")


def in_shared_memory():
    name, size = f"unruffled_grpc_{os.getpid()}", X.nbytes
    region = shm.create_shared_memory_region("region", f"/{name}", 2 * size)
    try:
        with grpc.InferenceServerClient(URL) as client:
            client.unregister_system_shared_memory()
            client.unregister_cuda_shared_memory()
            shm.set_shared_memory_region(region, [X])
            client.register_system_shared_memory("region", f"/{name}", 2 * size)
            regions = client.get_system_shared_memory_status(as_json=True)["regions"]
            assert regions["region"]["byte_size"] == str(2 * size), regions
            x = grpc.InferInput("x", list(X.shape), "FP32")
            x.set_shared_memory("region", size)
            y = grpc.InferRequestedOutput("y")
            y.set_shared_memory("region", size, offset=size)
            result = client.infer("m", [x], outputs=[y])
            output = shm.get_contents_as_numpy(region, np.float32, [1, 2], offset=size)
            np.testing.assert_array_equal(output, 2 * X)
            client.unregister_system_shared_memory("region")
            refused("INVALID_ARGUMENT", ["region"], lambda: client.infer("m", [x]))
    finally:
        shm.destroy_shared_memory_region(region)


def callbacks():
    with grpc.InferenceServerClient(URL) as client:
        answers = queue.Queue()
        for _ in range(100):
            client.async_infer("m", one("x", X), lambda result, error: answers.put((result, error)))
        for _ in range(100):
            result, error = answers.get(timeout=20)
            assert error is None, error
            np.testing.assert_array_equal(result.as_numpy("y"), 2 * X)


def stream():
    for compression in [None, "gzip"]:
        with grpc.InferenceServerClient(URL) as client:
            answers = queue.Queue()
            client.start_stream(
                lambda result, error: answers.put((result, error)), compression_algorithm=compression
            )
            for i in range(50):
                client.async_stream_infer("m" if i != 20 else "nobody", one("x", X * i), request_id=str(i))
            for i in range(50):
                result, error = answers.get(timeout=20)
                if i == 20:
                    assert "`nobody`" in error.message(), error
                    continue
                assert error is None, error
                assert result.get_response().id == str(i)
                np.testing.assert_array_equal(result.as_numpy("y"), 2 * X * i)
            client.stop_stream()


def several():
    with grpc.InferenceServerClient(URL) as client:
        answers = queue.Queue()
        client.start_stream(lambda result, error: answers.put((result, error)))
        up_to = np.array([5], dtype=np.uint32)
        client.async_stream_infer("count", one("x", up_to), enable_empty_final_response=True)
        values = []
        while True:
            result, error = answers.get(timeout=20)
            assert error is None, error
            response = result.get_response()
            if len(response.outputs) > 0:
                values.append(int(result.as_numpy("i")))
            if response.parameters["triton_final_response"].bool_param:
                break
        assert values == [0, 1, 2, 3, 4], values
        client.stop_stream()


async def asynchronous():
    async with grpc_aio.InferenceServerClient(URL) as client:
        assert await client.is_server_ready()
        calls = [client.infer("m", one("x", X * i), compression_algorithm="gzip") for i in range(50)]
        for i, result in enumerate(await asyncio.gather(*calls)):
            np.testing.assert_array_equal(result.as_numpy("y"), 2 * X * i)

        async def requests():
            for i in range(20):
                yield {"model_name": "m", "inputs": one("x", X * i), "request_id": str(i)}

        i = 0
        async for result, error in client.stream_infer(requests()):
            assert error is None, error
            np.testing.assert_array_equal(result.as_numpy("y"), 2 * X * i)
            i += 1
        assert i == 20, i
        try:
            await client.infer("nobody", one("x", X))
        except InferenceServerException as error:
            assert error.status() == "StatusCode.NOT_FOUND", error
        else:
            raise AssertionError("nothing was refused")


about()
infer()
extensions()
in_shared_memory()
callbacks()
stream()
several()
asyncio.run(asynchronous())
print("all is well")
