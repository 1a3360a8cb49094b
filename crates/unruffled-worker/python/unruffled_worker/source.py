"""Models written as a class in a Python file."""

import importlib.util
import inspect
import os
import sys

from unruffled_worker.calls import Calls, first
from unruffled_worker.declare import declared, parameters
from unruffled_worker.errors import ModelFault
from unruffled_worker.tensors import as_array, type_name

_THREE_WAYS = (
    'says nowhere what it takes and gives: add type hints, as in `def predict(self, x: Tensor["f32", "n", 4]) -> '
    'Tensor["f32", "n"]`; or a `sample` of its inputs, from which it is learned; or a signature in the settings of the model'
)


def load(path, given):
    """The class of this file, made and loaded."""
    cls = _find(_import(path))
    calls = Calls()
    model = cls()
    if hasattr(model, "load"):
        calls.finish(model.load())
    return SourceModel(model, calls, given)


def _import(path):
    folder, file = os.path.split(os.path.abspath(path))
    name = os.path.splitext(file)[0]
    sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # A cache beside the model would look like a change of the model to whoever watches the folder.
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def _find(module):
    classes = [
        cls
        for cls in vars(module).values()
        if inspect.isclass(cls) and cls.__module__ == module.__name__ and _runs(cls)
    ]
    named = [cls for cls in classes if cls.__name__ == "Model"]
    if len(named or classes) == 1:
        return (named or classes)[0]
    if not classes:
        raise ModelFault("defines no class with a method `predict` or `predict_batch`")
    names = ", ".join(cls.__name__ for cls in classes)
    raise ModelFault("defines several classes with `predict` (%s): name one of them `Model`" % names)


def _runs(cls):
    return callable(getattr(cls, "predict", None)) or callable(getattr(cls, "predict_batch", None))


class SourceModel:
    """An object with ``predict`` or ``predict_batch``, called with arrays by name."""

    def __init__(self, model, calls, given):
        self.calls = calls
        self.state = _state(model)
        self.is_joint = callable(getattr(model, "predict_batch", None)) and self.state is None
        self.function = model.predict_batch if self.is_joint else getattr(model, "predict", None)
        if self.function is None:
            raise ModelFault("has an `initial_state` but no `predict`: state goes with `predict`")
        self.names = parameters(self.function, () if self.state is None else ("state",))
        if self.state is not None and "state" not in parameters(self.function):
            raise ModelFault("has an `initial_state`, but its `predict` has no parameter `state`")
        if self.state is not None and (inspect.isgeneratorfunction(self.function) or inspect.isasyncgenfunction(self.function)):
            raise ModelFault("has an `initial_state` and a `predict` that yields: a stream of outputs has no state")
        raw = given or declared(model, self.function)
        if raw is None and self.is_joint and callable(getattr(model, "predict", None)):
            raw = declared(model, model.predict)
        self.signature = raw if raw is not None else self._learn(model)
        self.outputs = [(spec["name"], spec["dtype"]) for spec in self.signature["outputs"]]
        self.takes_all = self._check_inputs([spec["name"] for spec in self.signature["inputs"]])
        if self.is_joint:
            self._check_joint()

    def _check_inputs(self, inputs):
        """Whether the method takes all inputs in one dict; they fit its parameters otherwise."""
        kinds = [one.kind for one in inspect.signature(self.function).parameters.values()]
        if inspect.Parameter.VAR_KEYWORD in kinds or set(self.names) == set(inputs):
            return False
        if self.names == ["inputs"]:
            return True
        required = [
            one.name
            for one in inspect.signature(self.function).parameters.values()
            if one.default is inspect.Parameter.empty and one.name in self.names
        ]
        for name in (*(name for name in inputs if name not in self.names), *(name for name in required if name not in inputs)):
            raise ModelFault(
                "`%s` takes %s, but the inputs are %s" % (self.function.__name__, ", ".join(self.names), ", ".join(inputs)),
                name,
            )
        return False

    def _check_joint(self):
        specs = [*self.signature["inputs"], *self.signature["outputs"]]
        leading = {spec["dims"][0] if spec["dims"] else None for spec in specs}
        if len(leading) != 1 or not isinstance(next(iter(leading)), str):
            raise ModelFault(
                "`predict_batch` takes the rows of several requests at once, so that every input and output begins with the "
                'same named dimension: Tensor["f32", "n", 4]'
            )

    def _learn(self, model):
        sample = getattr(model, "sample", None)
        sample = self.calls.finish(sample()) if callable(sample) else sample
        if sample is None:
            raise ModelFault(_THREE_WAYS)
        if not isinstance(sample, dict):
            values = sample if isinstance(sample, tuple) else (sample,)
            if len(values) != len(self.names):
                raise ModelFault("its `sample` has %d inputs, but %s" % (len(values), ", ".join(self.names)))
            sample = dict(zip(self.names, values))
        arrays = {name: as_array(value, None, name) for name, value in sample.items()}
        self.takes_all = self._check_inputs(list(arrays))
        if self.is_joint and not all(array.ndim for array in arrays.values()):
            raise ModelFault("its `sample` has no rows: `predict_batch` takes arrays with a leading dimension")
        self.outputs = None
        result = first(self.calls, self.call(arrays))
        outputs, _ = self.finish(result)
        return {"inputs": self._learned(arrays), "outputs": self._learned(outputs)}

    def _learned(self, arrays):
        def dims(array):
            return ["n" if self.is_joint and at == 0 else None for at in range(array.ndim)]

        return [{"name": name, "dtype": type_name(array.dtype), "dims": dims(array)} for name, array in arrays.items()]

    def call(self, arrays):
        """Calls the method: its result, or what will give it."""
        if self.state is None:
            return self.function(arrays) if self.takes_all else self.function(**arrays)
        state = {name: arrays.pop(name, initial) for name, initial in self.state.items()}
        named = state["state"] if "state" in state else {name[len("state.") :]: value for name, value in state.items()}
        return self.function(arrays, state=named) if self.takes_all else self.function(**arrays, state=named)

    def finish(self, result):
        """What was returned, as outputs by name and the state that goes with them."""
        if self.state is None:
            return _named(result, self.outputs), {}
        if not (isinstance(result, tuple) and len(result) == 2):
            raise ModelFault("has state, so that its `predict` returns outputs and state: `return y, state`")
        outputs, state = result
        if "state" in self.state:
            state = {"state": state}
        elif isinstance(state, dict):
            state = {"state.%s" % name: value for name, value in state.items()}
        else:
            raise ModelFault("returned a %s as its state where a dict belongs" % type(state).__name__)
        specs = [(name, type_name(initial.dtype)) for name, initial in self.state.items()]
        return _named(outputs, self.outputs), _named(state, specs)


def _state(model):
    """The state that a sequence begins with, as arrays by the name of their input."""
    if not callable(getattr(model, "initial_state", None)):
        return None
    state = model.initial_state()
    if not isinstance(state, dict):
        return {"state": as_array(state, None, "state")}
    named = {"state.%s" % name: value for name, value in state.items()}
    return {name: as_array(value, None, name) for name, value in named.items()}


def _named(result, specs):
    """What a method returned, by name: a dict, a tuple in the order of the outputs, or the only output."""
    if specs is None:
        if not isinstance(result, (dict, tuple)):
            result = {"output": result}
        elif isinstance(result, tuple):
            result = {"output_%d" % at: value for at, value in enumerate(result)}
        return {name: as_array(value, None, name) for name, value in result.items()}
    if isinstance(result, dict):
        for name in result:
            if name not in (known for known, _ in specs):
                raise ModelFault("was returned, but is no output; declared are %s" % ", ".join(n for n, _ in specs), name)
    elif isinstance(result, tuple) and len(result) == len(specs):
        result = dict(zip((name for name, _ in specs), result))
    elif len(specs) == 1 and not isinstance(result, tuple):
        result = {specs[0][0]: result}
    else:
        count = "%d outputs" % len(result) if isinstance(result, tuple) else "a %s" % type(result).__name__
        raise ModelFault("returned %s, but the outputs are %s" % (count, ", ".join(name for name, _ in specs)))
    arrays = {}
    for name, dtype in specs:
        if result.get(name) is None:
            raise ModelFault("is an output that was not returned", name)
        arrays[name] = as_array(result[name], dtype, name)
    return arrays


