"""The loop of a worker process: it loads one model, then runs what it is sent."""

import os
import platform
import sys
import traceback

import numpy as np

from unruffled_worker import capture, context, frames
from unruffled_worker.errors import InvalidInput, ModelFault, describe, short, tensor_name
from unruffled_worker.interrupts import Interrupts
from unruffled_worker.memory import TENSORS_START, Memory
from unruffled_worker.tensors import Outputs, decode

_LIBRARIES = ("sklearn", "torch", "tensorflow", "jax", "onnxruntime", "lightgbm", "xgboost", "transformers")


def main():
    """Serves until the other side is gone; what goes wrong in here ends the process at once."""
    try:
        _serve()
    except BaseException:
        traceback.print_exc()
        capture.flush()
        # Not by the way of `sys.exit`, which closes the connection long before the process has ended.
        os._exit(1)


def _serve():
    fd = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # Whatever writes to standard output joins standard error, which is all that is read.
    os.dup2(2, 1)
    capture.begin()
    connection = frames.Connection(fd)
    # A process that a model forks must not keep the connection of a dead worker open.
    os.register_at_fork(after_in_child=connection.socket.close)
    hello = {"python": platform.python_version(), "numpy": np.__version__}
    connection.send(frames.HELLO, {**hello, "executable": sys.executable})
    worker = Worker(connection, connection.receive_file())
    while True:
        kind, header, body = connection.receive()
        if kind == frames.LOAD:
            worker.load(header)
        elif kind == frames.RUN:
            worker.run(header, body)
        else:
            raise SystemExit("frame of kind %s where a load or a run belongs" % kind)


class Worker:
    """One model and what it takes to run it."""

    def __init__(self, connection, shared):
        self.connection = connection
        self.shared = shared
        self.model = None

    def load(self, header):
        self.inline_max = header["inline_max"]
        self.memory = Memory(self.shared, header["shared_max"])
        capture.listen(header["log_level"])
        try:
            _limit(header)
            self.model = _load(header)
            self.interrupts = Interrupts(self.memory)
            outputs = Outputs(self.memory, TENSORS_START, self.inline_max)
            state, body = outputs.encode(self.model.state or {})
        except BaseException as error:
            capture.flush()
            self.connection.send(frames.UNLOADABLE, {"message": describe(error), **_missing(error)})
            return
        capture.flush()
        loaded = {
            "signature": self.model.signature,
            "joint": self.model.is_joint,
            "state": state,
            "resident": _resident(),
            "libraries": {name: str(version) for name, version in _libraries()},
        }
        self.connection.send(frames.LOADED, loaded, body)

    def run(self, header, body):
        context.enter(header["rows"])
        self.interrupts.run = header["run"]
        try:
            arrays, lease, start = decode(header["inputs"], body, self.memory)
        except Exception as error:
            context.enter(())
            answer = {"kind": "failed", "message": describe(error), "run": header["run"], "kept": False}
            self.connection.send(frames.ERROR, answer)
            return
        kind, answer, parts = self._answer(arrays, Outputs(self.memory, start, self.inline_max))
        arrays = None
        capture.flush()
        context.enter(())
        answer["run"] = header["run"]
        # What the model holds on to must not be overwritten: it keeps this memory, and the next runs get other.
        answer["kept"] = lease.end()
        self.connection.send(kind, answer, parts)
        if answer["kept"]:
            self.memory.replace(self.connection.receive_file())

    def _answer(self, arrays, outputs):
        """Kind, header and body of the last frame of a run."""
        try:
            try:
                self.interrupts.open()
                result = self.model.call(arrays)
                arrays = None
                calls = getattr(self.model, "calls", None)
                stream = calls and calls.stream(result)
                if stream:
                    result = self._stream(stream, outputs)
                    if result is None:
                        return frames.DONE, {"outputs": None}, []
                elif calls:
                    result = calls.finish(result)
                named, state = self.model.finish(result)
            finally:
                self.interrupts.close()
            entries, parts = outputs.encode({**named, **state})
            return frames.DONE, {"outputs": entries}, parts
        except KeyboardInterrupt:
            return frames.ERROR, {"kind": "cancelled", "message": "interrupted"}, []
        except InvalidInput as error:
            return frames.ERROR, {"kind": "invalid", "message": short(str(error)), "tensor": tensor_name(error.input)}, []
        except ModelFault as error:
            return frames.ERROR, {"kind": "failed", "message": short(str(error)), "tensor": tensor_name(error.tensor)}, []
        except BaseException as error:
            return frames.ERROR, {"kind": "failed", "message": describe(error)}, []

    def _stream(self, stream, outputs):
        """Sends outputs as they come, for as long as they are wanted; the value that the generator returned, if any."""
        try:
            while True:
                try:
                    item = next(stream)
                except StopIteration as end:
                    return end.value
                named, _ = self.model.finish(item)
                # Half a frame must not be cut short by an interrupt.
                self.interrupts.close()
                entries, parts = outputs.encode(named)
                self.connection.send(frames.ITEM, {"run": self.interrupts.run, "outputs": entries}, parts)
                kind, _, _ = self.connection.receive()
                if kind != frames.MORE:
                    raise KeyboardInterrupt
                self.interrupts.open()
        finally:
            stream.close()


def _limit(header):
    """What is set once for the process, before any code of the user's runs."""
    if header["nice"]:
        os.nice(header["nice"])
    if header["memory_max"]:
        import resource

        # Not the address space: libraries reserve much of it that they never use.
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = header["memory_max"] if hard == resource.RLIM_INFINITY else min(hard, header["memory_max"])
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _load(header):
    path, kind, given = header["path"], header["kind"], header["signature"]
    if kind == "source":
        from unruffled_worker.source import load

        model = load(path, given)
    else:
        from unruffled_worker.estimators import load

        model = load(path, kind, header["trusted_types"], given)
    torch = sys.modules.get("torch")
    if torch is not None and header["threads"]:
        torch.set_num_threads(header["threads"])
    return model


def _missing(error):
    """The module that could not be imported, if that is what has happened."""
    return {"missing": error.name} if isinstance(error, ModuleNotFoundError) else {}


def _resident():
    """The most memory that this process has had, in bytes."""
    import resource

    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def _libraries():
    for name in _LIBRARIES:
        module = sys.modules.get(name)
        if module is not None:
            yield name, getattr(module, "__version__", "unknown")
