"""Signatures: what a model takes and gives, from type hints, a decorator, or a string such as ``f32 [n, 4]``."""

import inspect
import re
import typing

from unruffled_worker.errors import ModelFault
from unruffled_worker.tensors import NAMES

_ALIASES = {
    "float16": "f16",
    "bfloat16": "bf16",
    "float32": "f32",
    "float64": "f64",
    "float": "f64",
    "int": "i64",
    "str": "bytes",
    "string": "bytes",
    **{"uint%d" % bits: "u%d" % bits for bits in (8, 16, 32, 64)},
    **{"int%d" % bits: "i%d" % bits for bits in (8, 16, 32, 64)},
}


class Tensor:
    """Element type and dimensions: ``Tensor["f32", "n", 4]``. A text names a size, None is any, ``...`` any number of them.

    Where a checker of types reads along: ``Annotated[numpy.ndarray, Tensor["f32", "n", 4]]``.
    """

    __slots__ = ("dtype", "dims")

    def __init__(self, dtype, *dims):
        dtype = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", str(dtype))
        self.dtype = _ALIASES.get(dtype, dtype)
        if self.dtype not in NAMES:
            raise ModelFault("`%s` is no element type; there are %s" % (dtype, ", ".join(NAMES)))
        for dim in dims:
            fits = dim is None or dim is ... or isinstance(dim, str) or (isinstance(dim, int) and dim >= 0)
            if not fits:
                raise ModelFault("`%r` is no dimension: a size, a name or None" % (dim,))
        self.dims = None if ... in dims else list(dims)

    def __class_getitem__(cls, parts):
        return cls(*(parts if isinstance(parts, tuple) else (parts,)))

    def raw(self, name):
        return {"name": name, "dtype": self.dtype, "dims": self.dims}


def _spec(value, what):
    """A declaration in any of its forms."""
    if typing.get_origin(value) is typing.Annotated:
        value = next((part for part in value.__metadata__ if isinstance(part, (Tensor, str))), None)
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\w+)\s*(?:\[([^\]]*)\])?\s*", value)
        if match:
            dims = (part.strip() for part in (match[2] or "").split(",") if part.strip())
            known = [int(dim) if dim.isdigit() else None if dim == "?" else dim for dim in dims]
            return Tensor(match[1], *(known if match[2] is not None else [...]))
    if isinstance(value, Tensor):
        return value
    raise ModelFault('%s is declared as %r; write Tensor["f32", "n", 4] or "f32 [n, 4]"' % (what, value))


def _specs(declared, alone):
    """Declarations by name; a single one without a name is called ``alone``."""
    if isinstance(declared, tuple):
        declared = {"%s_%d" % (alone, at): value for at, value in enumerate(declared)}
    elif not isinstance(declared, dict):
        declared = {alone: declared}
    return [_spec(value, "`%s`" % name).raw(name) for name, value in declared.items()]


def signature(*, inputs, outputs):
    """Declares what a class, or its ``predict``, takes and gives::

        @signature(inputs={"x": "f32 [n, 4]"}, outputs={"y": "f32 [n]"})
        class Model: ...
    """
    raw = {"inputs": _specs(inputs, "input"), "outputs": _specs(outputs, "output")}

    def mark(target):
        target.__unruffled_signature__ = raw
        return target

    return mark


def parameters(function, leave_out=()):
    """The names of what a method takes besides its object."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = inspect.signature(function).parameters.values()
    return [one.name for one in known if one.kind in kinds and one.name not in leave_out]


def declared(model, function):
    """What decorator or type hints say, or None if they say nothing."""
    for holder in (function, type(model), model):
        raw = getattr(holder, "__unruffled_signature__", None)
        if raw is not None:
            return raw
    try:
        found = inspect.signature(function, eval_str=True)
    except Exception as error:
        raise ModelFault("the type hints of `%s` cannot be read: %s" % (function.__name__, error)) from None
    empty = inspect.Parameter.empty
    hints = {name: one.annotation for name, one in found.parameters.items() if name in parameters(function, ("state",))}
    if found.return_annotation is empty or empty in hints.values() or not hints:
        return None
    if not any(_is_tensor(hint) for hint in hints.values()):
        return None
    inputs = [_spec(hint, "`%s`" % name).raw(name) for name, hint in hints.items()]
    return {"inputs": inputs, "outputs": _specs(_returned(found.return_annotation), "output")}


def _is_tensor(hint):
    return isinstance(hint, Tensor) or (
        typing.get_origin(hint) is typing.Annotated and any(isinstance(part, Tensor) for part in hint.__metadata__)
    )


def _returned(hint):
    """What is declared of one output of a generator, or of a coroutine's result."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is not None and origin is not typing.Annotated and arguments:
        if origin is tuple:
            return tuple(arguments)
        if origin.__name__ in ("Iterator", "Iterable", "Generator", "AsyncIterator", "AsyncIterable", "AsyncGenerator"):
            return arguments[0]
    return hint
