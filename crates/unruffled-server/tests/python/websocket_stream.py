"""A stream over a WebSocket with the package `websockets`; the model `m` doubles."""

import asyncio
import json
import struct
import sys

import websockets

URL = f"ws://{sys.argv[1]}/v2/models/m/stream".replace("127.0.0.1", "localhost")


async def main():
    async with websockets.connect(URL) as socket:
        for i in range(100):
            await socket.send(json.dumps({"id": str(i), "x": [i, 1]}))
        for i in range(100):
            answer = json.loads(await socket.recv())
            assert (answer["id"], answer["y"]) == (str(i), [2 * i, 2]), answer

        x = {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}
        text = json.dumps({"inputs": [x], "parameters": {"binary_data_output": True}}).encode()
        await socket.send(struct.pack("<I", len(text)) + text + struct.pack("<ff", 1, 2.5))
        message = await socket.recv()
        (length,) = struct.unpack_from("<I", message)
        assert json.loads(message[4 : 4 + length])["outputs"][0]["shape"] == [1, 2]
        assert struct.unpack("<ff", message[4 + length :]) == (2.0, 5.0)

    try:
        async with websockets.connect(URL.replace("/m/", "/none/")):
            raise AssertionError("there is no such model")
    except websockets.InvalidStatus as error:
        assert error.response.status_code == 404


asyncio.run(main())
print("all is well")
