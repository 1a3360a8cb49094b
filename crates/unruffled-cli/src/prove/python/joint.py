"""What the proofs ask of a Python model whose rows go through it together."""

import ctypes
import os

import numpy as np

DIE = 3


class Model:
    def predict_batch(self, x):
        if (x[:, 0] == DIE).any():
            ctypes.string_at(0)
        return {"y": 2 * x[:, 1], "pid": np.full(len(x), os.getpid())}
