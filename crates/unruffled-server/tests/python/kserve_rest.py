"""Drives a server with KServe's client over REST: python kserve_rest.py HOST:PORT; the models are those of triton_http.py."""

import asyncio
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

URL = f"http://{sys.argv[1]}"
X = np.array([[1.0, 2.5]], dtype=np.float32)


async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(URL) and await client.is_server_ready(URL)
    assert await client.is_model_ready(URL, "m")
    for binary in [True, False]:
        tensor = InferInput("x", list(X.shape), "FP32")
        tensor.set_data_from_numpy(X, binary_data=binary)
        request = InferRequest(model_name="m", infer_inputs=[tensor], request_id="7")
        answer = await client.infer(URL, request, model_name="m")
        np.testing.assert_array_equal(answer.outputs[0].as_numpy(), 2 * X)
        assert answer.id == "7"


asyncio.run(main())
print("all is well")
