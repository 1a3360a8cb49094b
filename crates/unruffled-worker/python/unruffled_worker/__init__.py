"""What a Python model may import from the program that runs it: declared signatures, and on whose behalf it runs.

    from unruffled_worker import Tensor

    class Model:
        def predict(self, x: Tensor["f32", "n", 4]) -> Tensor["f32", "n"]:
            return x.sum(axis=1)

None of it is needed: a class with ``predict`` and a ``sample`` will do.
"""

from unruffled_worker.context import Context, current, current_batch
from unruffled_worker.declare import Tensor, signature
from unruffled_worker.errors import InvalidInput

__all__ = ["Context", "InvalidInput", "Tensor", "current", "current_batch", "signature"]
