"""What the proofs ask of a Python model, a row at a time: to answer, to take long, and to die."""

import ctypes
import hashlib
import os
import time

DOUBLE, SPIN, NATIVE, DIE = range(4)


class Model:
    def predict(self, x):
        what, value = int(x[0]), float(x[1])
        if what == SPIN:
            end = time.monotonic() + value
            while time.monotonic() < end:
                pass
        elif what == NATIVE:
            # One call into C, which hears of an interrupt only when it is done: about half a second a million.
            hashlib.pbkdf2_hmac("sha256", b"", b"", int(value * 1e6))
        elif what == DIE:
            ctypes.string_at(0)
        return {"y": 2 * value, "pid": os.getpid()}
