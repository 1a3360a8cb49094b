"""Drives a server with the client of KServe over gRPC: python kserve_grpc.py HOST:PORT.

The server has the model `m`, which doubles x: FP32 [batch, 2] to y, and `echo`, which gives back what it takes.
"""

import asyncio
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest

X = np.array([[1.0, 2.5]], dtype=np.float32)


def request(model, array, datatype, raw):
    tensor = InferInput("x", list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=raw)
    return InferRequest(model_name=model, infer_inputs=[tensor], request_id="7")


async def main():
    client = InferenceGRPCClient(sys.argv[1])
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready("m")
    # Raw elements and typed ones.
    for raw in [True, False]:
        answer = await client.infer(request("m", X, "FP32", raw), timeout=20)
        assert answer.id == "7" and answer.model_name == "m", answer
        np.testing.assert_array_equal(answer.outputs[0].as_numpy(), 2 * X)
        strings = np.array([b"a", b"bc"], dtype=np.object_)
        answer = await client.infer(request("echo", strings, "BYTES", raw), timeout=20)
        np.testing.assert_array_equal(answer.outputs[0].as_numpy(), strings)
    try:
        await client.infer(request("nobody", X, "FP32", True), timeout=20)
    except Exception as error:
        assert "`nobody`" in str(error), error
    else:
        raise AssertionError("nothing was refused")
    await client.close()


asyncio.run(main())
print("all is well")
