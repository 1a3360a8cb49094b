"""Estimators of scikit-learn and its kin, as they were saved."""

import numpy as np

from unruffled_worker.errors import ModelFault
from unruffled_worker.tensors import as_array, type_name


def load(path, kind, trusted, given):
    """The estimator in this file."""
    return EstimatorModel(_read(path, kind, trusted), given)


def _read(path, kind, trusted):
    if kind == "skops":
        import skops.io

        unknown = [name for name in skops.io.get_untrusted_types(file=path) if name not in trusted]
        if unknown:
            raise ModelFault(
                "holds types that are not trusted: %s. If you know where the file comes from, add them to `trusted_types`"
                % ", ".join(unknown)
            )
        return skops.io.load(path, trusted=list(trusted))
    if kind == "joblib":
        import joblib

        return joblib.load(path)
    import pickle

    with open(path, "rb") as file:
        return pickle.load(file)


class EstimatorModel:
    """An estimator: ``input`` is a matrix, a row each; the outputs are named as converters to ONNX name them."""

    state = None
    is_joint = True

    def __init__(self, estimator, given):
        self.methods = _methods(estimator)
        self.width = getattr(estimator, "n_features_in_", None)
        raw = given
        if raw is None:
            if self.width is None:
                raise ModelFault(
                    "is a %s, which does not tell how many features it takes (`n_features_in_`): give a signature in the "
                    "settings of the model, or wrap it in a model.py" % type(estimator).__name__
                )
            raw = {"inputs": [{"name": "input", "dtype": "f64", "dims": ["n", int(self.width)]}], "outputs": None}
        if len(raw["inputs"]) != 1:
            raise ModelFault("is an estimator and takes one input, not %d" % len(raw["inputs"]))
        self.input = raw["inputs"][0]["name"]
        if raw["outputs"] is None:
            raw["outputs"] = self._learn()
        elif len(raw["outputs"]) != len(self.methods):
            raise ModelFault(
                "gives %d outputs (%s), but %d are declared" % (len(self.methods), ", ".join(self.methods), len(raw["outputs"]))
            )
        self.signature = raw
        self.outputs = [(spec["name"], spec["dtype"]) for spec in raw["outputs"]]

    def _learn(self):
        """What comes out for a row of zeros."""
        try:
            found = [(name, _array(method(np.zeros((1, self.width))), name)) for name, method in self.methods.items()]
        except ModelFault:
            raise
        except Exception as error:
            raise ModelFault(
                "cannot be run over a matrix of numbers (%s: %s): wrap it in a model.py that makes of the inputs what it wants"
                % (type(error).__name__, error)
            ) from error
        return [
            {"name": name, "dtype": type_name(array.dtype), "dims": ["n", *array.shape[1:]]} for name, array in found
        ]

    def call(self, arrays):
        x = arrays[self.input]
        return {
            name: method(x) for (name, _), method in zip(self.outputs, self.methods.values())
        }

    def finish(self, result):
        return {name: as_array(_array(result[name], name), dtype, name) for name, dtype in self.outputs}, {}


def _methods(estimator):
    """What is called for which output."""
    has = lambda name: callable(getattr(estimator, name, None))  # noqa: E731
    if has("predict") and hasattr(estimator, "classes_"):
        methods = {"label": estimator.predict}
        if has("predict_proba"):
            methods["probabilities"] = estimator.predict_proba
        return methods
    if has("predict"):
        is_number = getattr(estimator, "_estimator_type", None) == "regressor" or _is_regressor(estimator)
        return {"variable" if is_number else "label": estimator.predict}
    if has("transform"):
        return {"variable": estimator.transform}
    raise ModelFault("is a %s, which has neither `predict` nor `transform`" % type(estimator).__name__)


def _is_regressor(estimator):
    try:
        from sklearn.base import is_regressor

        return is_regressor(estimator)
    except Exception:
        return True


def _array(value, name):
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray) and value[0].ndim > 1:
        raise ModelFault("is a list of arrays, one for each target: wrap the estimator in a model.py", name)
    if hasattr(value, "toarray"):
        value = value.toarray()
    return np.asarray(value)
