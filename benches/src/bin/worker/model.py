"""Gives floats back, or their sum; never comes back from native code when the first is negative."""

import collections
import itertools

from unruffled_worker import Tensor


class Model:
    def predict(self, x: Tensor["f32", None], total: Tensor["bool"]) -> Tensor["f32", None]:
        if x[0] < 0:
            collections.deque(itertools.repeat(0), maxlen=0)
        return x.sum(keepdims=True) if total else x
