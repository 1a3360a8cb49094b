"""The other end of a bare socket: what is usually written by hand, with the bytes read in place."""

import os
import socket

import numpy as np

connection = socket.socket(fileno=os.dup(0))


def receive(count):
    data = bytearray(count)
    view = memoryview(data)
    while view:
        view = view[connection.recv_into(view) or os._exit(0) :]
    return data


while True:
    task = receive(1)[0]
    data = receive(int.from_bytes(receive(4), "little"))
    x = np.frombuffer(data, np.float32)
    connection.sendall(x.sum(keepdims=True) if task else x)
