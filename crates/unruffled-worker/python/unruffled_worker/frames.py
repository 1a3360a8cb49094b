"""Frames on the socket: a prefix, a header in JSON, and bytes."""

import array
import json
import os
import socket
import struct

VERSION = 1
PREFIX = struct.Struct("<BBHII")

LOAD, RUN, MORE = range(1, 4)
HELLO, LOADED, UNLOADABLE, DONE, ITEM, ERROR = range(16, 22)

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_decode = json.JSONDecoder().decode


class Connection:
    """One end of the socket. The other asks, this one answers: there is never more than one frame on its way."""

    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd)
        self.buffer = bytearray(1 << 17)

    def send(self, kind, header, body=()):
        # Half of a pair of surrogates, which is in no text that anybody could read, becomes a question mark.
        text = _encode(header).encode("utf-8", "replace")
        length = sum(map(len, body))
        self.socket.sendall(b"".join((PREFIX.pack(kind, VERSION, 0, len(text), length), text, *body)))

    def receive(self):
        """The next frame as kind, header, body; the body is the caller's to keep. Ends the process with its parent."""
        buffer, read, filled = self.buffer, self.socket.recv_into, 0
        need = PREFIX.size
        view = memoryview(buffer)
        while True:
            count = read(view[filled:])
            if not count:
                os._exit(0)
            filled += count
            if filled < need:
                continue
            kind, version, _, header, body = PREFIX.unpack_from(buffer)
            if version != VERSION:
                raise SystemExit("the program speaks version %s of the worker protocol, this side %s" % (version, VERSION))
            need = PREFIX.size + header + body
            if filled >= need:
                break
            if need > len(buffer):
                larger = bytearray(need)
                larger[:filled] = buffer[:filled]
                view = memoryview(larger)
                buffer = larger
        split = PREFIX.size + header
        text = str(view[PREFIX.size : split], "utf-8")
        return kind, _decode(text), bytearray(view[split:need]) if body else None

    def receive_file(self):
        """The file that comes with a frame of its own, ahead of anything else."""
        prefix, ancillary, _, _ = self.socket.recvmsg(1, socket.CMSG_SPACE(4))
        if not prefix:
            os._exit(0)
        fds = array.array("i")
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        return fds[0]
