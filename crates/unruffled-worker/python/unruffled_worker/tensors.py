"""Arrays to and from what frames say of them: name, element type, shape, and where the bytes are."""

import struct

import numpy as np

from unruffled_worker.errors import ModelFault
from unruffled_worker.memory import TENSORS_START, Lease, aligned

_NUMPY = {
    "bool": np.dtype(np.bool_),
    "u8": np.dtype("u1"),
    "u16": np.dtype("u2"),
    "u32": np.dtype("u4"),
    "u64": np.dtype("u8"),
    "i8": np.dtype("i1"),
    "i16": np.dtype("i2"),
    "i32": np.dtype("i4"),
    "i64": np.dtype("i8"),
    "f16": np.dtype("f2"),
    "f32": np.dtype("f4"),
    "f64": np.dtype("f8"),
}
_NAMES = {dtype: name for name, dtype in _NUMPY.items()}
NAMES = (*_NUMPY, "bf16", "bytes")
INLINE, SHARED = 0, 1
_LENGTH = struct.Struct("<I")


def numpy_type(name):
    """The numpy type of an element type; byte strings are objects."""
    if name == "bytes":
        return np.dtype(object)
    if name == "bf16":
        try:
            import ml_dtypes
        except ImportError:
            raise ModelFault("numpy has no bf16 of its own: `pip install ml_dtypes` in this environment") from None
        return np.dtype(ml_dtypes.bfloat16)
    return _NUMPY[name]


def type_name(dtype):
    """The element type of a numpy type, or None."""
    if dtype.kind in "USOT":
        return "bytes"
    return _NAMES.get(dtype) or ("bf16" if dtype.name == "bfloat16" else None)


def _unpack_strings(data, shape):
    flat = np.empty(int(np.prod(shape, dtype=np.int64)), object)
    at = 0
    for index in range(len(flat)):
        (length,) = _LENGTH.unpack_from(data, at)
        at += 4
        flat[index] = bytes(data[at : at + length])
        at += length
    return flat.reshape(shape)


def _pack_strings(array, name):
    parts = []
    for element in array.ravel():
        if isinstance(element, str):
            element = element.encode()
        elif not isinstance(element, (bytes, bytearray)):
            raise ModelFault("holds a %s where bytes or str belong" % type(element).__name__, name)
        parts.append(_LENGTH.pack(len(element)))
        parts.append(element)
    return np.frombuffer(b"".join(parts), np.uint8)


def decode(entries, body, memory):
    """Arrays by name, without a copy, and the lease of what they hold of the shared memory."""
    start = end = 0
    for _, _, _, where, offset, size in entries:
        if where == SHARED:
            start, end = start or offset, offset + size
    lease = Lease(memory.region(start, end) if end else None)
    arrays = {}
    for name, dtype, shape, where, offset, size in entries:
        if where == SHARED:
            data = lease.region[offset - start : offset - start + size]
        else:
            data = np.frombuffer(body, np.uint8, size, offset) if size else np.empty(0, np.uint8)
        if dtype == "bytes":
            arrays[name] = _unpack_strings(data, shape)
        else:
            arrays[name] = data.view(_NUMPY.get(dtype) or numpy_type(dtype)).reshape(shape)
    return arrays, lease, aligned(end or TENSORS_START)


def as_array(value, dtype, name):
    """What a model has returned as an array of the declared type, or as it is if none was declared."""
    try:
        array = value if isinstance(value, np.ndarray) else _from_others(value)
    except Exception as error:
        raise ModelFault("is no array: %s" % error, name) from None
    given = type_name(array.dtype)
    if given is None:
        raise ModelFault("has elements of type %s, which no tensor can hold" % array.dtype, name)
    if dtype is None or given == dtype:
        return array
    wanted = numpy_type(dtype)
    if "bytes" in (given, dtype) or not np.can_cast(array.dtype, wanted, "same_kind"):
        raise ModelFault("has elements of type %s, but %s was declared" % (given, dtype), name)
    return array.astype(wanted)


def _from_others(value):
    if hasattr(value, "detach"):
        # A torch tensor may hang on a graph of gradients, or be elsewhere.
        value = value.detach().cpu()
    elif hasattr(value, "toarray"):
        value = value.toarray()
    return np.asarray(value)


class Outputs:
    """Arrays on their way out: small ones in the frame, large ones in shared memory behind the inputs."""

    def __init__(self, memory, start, inline_max):
        self.memory = memory
        self.start = start
        self.inline_max = inline_max

    def encode(self, arrays):
        """What the frame says of them, and its body."""
        flat = []
        for name, array in arrays.items():
            given = type_name(array.dtype)
            data = _pack_strings(array, name) if given == "bytes" else array
            flat.append((name, given, array.shape, data))
        entries, body = [], []
        if sum(data.nbytes for _, _, _, data in flat) <= self.inline_max:
            offset = 0
            for name, dtype, shape, data in flat:
                entries.append((name, dtype, shape, INLINE, offset, data.nbytes))
                body.append(data.tobytes())
                offset += data.nbytes
            return entries, body
        offset = self.start
        for name, dtype, shape, data in flat:
            entries.append((name, dtype, shape, SHARED, offset, data.nbytes))
            offset = aligned(offset + data.nbytes)
        region = self.memory.region(self.start, offset)
        for (name, _, _, _, at, size), (_, _, _, data) in zip(entries, flat):
            target = region[at - self.start : at - self.start + size].view(data.dtype).reshape(data.shape)
            np.copyto(target, data)
        return entries, body
