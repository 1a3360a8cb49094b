"""The estimators: what each is, what it was trained on, what it is asked, and what it answers itself."""

import lightgbm
import numpy as np
import onnx.helper
import xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as ToolsFloat
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.base import is_classifier, is_outlier_detector
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits, make_classification, make_regression
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

SEED = 11
BATCHES = (1, 2, 8, 33)
OPSETS = {"": 21, "ai.onnx.ml": 3}
COLOURS = ["red", "green", "blue"]
TOWNS = ["Ulm", "Köln", "Bern", "Graz"]


def plain_attributes():
    """Has onnx take attributes that hold numpy's numbers, as the converter of histogram boosting gives them."""
    make_attribute = onnx.helper.make_attribute

    def number(value):
        return value.item() if isinstance(value, np.generic) else value

    def convert(key, value, *rest, **named):
        if isinstance(value, (list, tuple, np.ndarray)) and not isinstance(value, bytes):
            value = [int(number(v)) if isinstance(number(v), bool) else number(v) for v in value]
        elif isinstance(number(value), bool):
            value = int(number(value))
        else:
            value = number(value)
        return make_attribute(key, value, *rest, **named)

    onnx.helper.make_attribute = convert


plain_attributes()


class Estimator:
    """A trained model over one matrix of numbers, called `X`."""

    def __init__(self, name, model, rows, dtype=np.float32, options=None, tolerance=1e-4):
        self.name = name
        self.model = model
        self.rows = rows.astype(dtype)
        self.options = options
        self.tolerance = tolerance

    is_sklearn = True

    def convert(self):
        kind = DoubleTensorType if self.rows.dtype == np.float64 else FloatTensorType
        types = [("X", kind([None, self.rows.shape[1]]))]
        options = {id(self.model): self.options} if self.options else None
        return to_onnx(self.model, initial_types=types, options=options, target_opset=OPSETS)

    def cases(self):
        starts = np.cumsum((0,) + BATCHES)
        return {f"batch-{n}": self.rows[start : start + n] for n, start in zip(BATCHES, starts)}

    def inputs(self, rows):
        return {"X": rows}

    def own(self, rows):
        """What the model itself answers, by the names of the ONNX file's outputs."""
        if is_outlier_detector(self.model):
            return {"label": self.model.predict(rows), "scores": self.model.decision_function(rows)}
        if not is_classifier(self.model):
            return {"variable": self.model.predict(rows).reshape(len(rows), -1)}
        zipmap = (self.options or {}).get("zipmap", not isinstance(self.model, LinearSVC))
        answers = {("output_label" if zipmap else "label"): self.model.predict(rows)}
        if (self.options or {}).get("raw_scores"):
            answers["probabilities"] = self.model.decision_function(rows)
        elif hasattr(self.model, "predict_proba"):
            answers["output_probability" if zipmap else "probabilities"] = self.model.predict_proba(rows)
        return answers


class Transformer(Estimator):
    def own(self, rows):
        answer = self.model.transform(rows)
        return {"variable": answer.toarray() if hasattr(answer, "toarray") else answer}


class Clusters(Estimator):
    def own(self, rows):
        return {"label": self.model.predict(rows), "scores": self.model.transform(rows)}


class Table(Estimator):
    """A trained model over rows of which the first columns are strings and the others numbers: an input of each kind."""

    def __init__(self, name, model, rows, texts, options=None):
        self.name, self.model, self.rows, self.texts = name, model, rows, texts
        self.options, self.tolerance = options, 1e-4

    def convert(self):
        numbers = self.rows.shape[1] - self.texts
        types = [("text", StringTensorType([None, self.texts])), ("numbers", FloatTensorType([None, numbers]))]
        options = {id(self.model): self.options} if self.options else None
        return to_onnx(self.model, initial_types=types[: 2 if numbers else 1], options=options, target_opset=OPSETS)

    def inputs(self, rows):
        parts = {"text": rows[:, : self.texts], "numbers": rows[:, self.texts :].astype(np.float32)}
        return {name: part for name, part in parts.items() if part.shape[1]}


class Boosted(Estimator):
    """A model of LightGBM or XGBoost."""

    is_sklearn = False

    def convert(self):
        types = [("X", ToolsFloat([None, self.rows.shape[1]]))]
        if isinstance(self.model, lightgbm.LGBMModel):
            return convert_lightgbm(self.model, initial_types=types, target_opset=15, zipmap=False)
        return convert_xgboost(self.model, initial_types=types, target_opset=15)

    def own(self, rows):
        if is_classifier(self.model):
            return {"label": self.model.predict(rows), "probabilities": self.model.predict_proba(rows)}
        return {"variable": self.model.predict(rows).reshape(-1, 1)}


def classes(count=3, rows=400, features=8, seed=SEED):
    x, y = make_classification(
        rows, features, n_informative=max(4, features // 2), n_classes=count, random_state=seed
    )
    return x.astype(np.float32), y


def numbers(rows=400, features=8, targets=1, seed=SEED):
    x, y = make_regression(rows, features, n_targets=targets, noise=1.0, random_state=seed)
    return x.astype(np.float32), y / np.abs(y).max()


def holes(x, share=0.1):
    x = x.copy()
    x[np.random.default_rng(SEED).random(x.shape) < share] = np.nan
    return x


def table(rows=400):
    """Two columns of strings, two of numbers with holes, and the label; and the same rows with strings never seen."""
    rng = np.random.default_rng(SEED)
    colours, towns = rng.choice(COLOURS, rows), rng.choice(TOWNS, rows)
    age, income = rng.normal(40, 12, rows), rng.normal(3, 1, rows)
    wealthy = np.where(income + (colours == "red") + (towns == "Bern") > 3.5, "yes", "no")
    known = np.empty((rows, 4), dtype=object)
    known[:, 0], known[:, 1] = colours, towns
    known[:, 2:] = holes(np.column_stack([age, income]).astype(np.float32)).astype(object)
    asked = known.copy()
    asked[[3, 12], 0] = ["pink", ""]
    return known, asked, wealthy


def columns():
    numeric = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encode = OneHotEncoder(handle_unknown="ignore")
    return ColumnTransformer([("text", encode, [0, 1]), ("numbers", numeric, [2, 3])])


def estimators():
    """All of them, trained."""
    off, raw = {"zipmap": False}, {"zipmap": False, "raw_scores": True}
    x2, y2 = classes(2)
    x3, y3 = classes(3)
    words = np.array(["setosa", "versicolor", "virginica"])[y3]
    xr, yr = numbers()
    xt, yt = numbers(targets=3)
    known, asked, wealthy = table()
    forest = dict(n_estimators=20, random_state=SEED)

    def of(name, model, x, y, kind=Estimator, **more):
        return kind(name, model.fit(x, y), x, **more)

    yield of("forest-classifier", RandomForestClassifier(**forest), x3, words)
    yield of("forest-binary", RandomForestClassifier(**forest), x2, y2, options=off)
    yield of("forest-regressor", RandomForestRegressor(**forest), xr, yr)
    yield of("forest-classifier-f64", RandomForestClassifier(**forest), x3, y3, dtype=np.float64, options=off)
    yield of("forest-targets", RandomForestRegressor(**forest), xt, yt)
    yield of("extra-trees-classifier", ExtraTreesClassifier(**forest), x3, y3, options=off)
    yield of("extra-trees-regressor", ExtraTreesRegressor(**forest), xr, yr)
    yield of("decision-tree-classifier", DecisionTreeClassifier(random_state=SEED), x2, y2, options=off)
    yield of("decision-tree-regressor", DecisionTreeRegressor(random_state=SEED), xr, yr)
    yield of("gradient-boosting-classifier", GradientBoostingClassifier(**forest), x3, y3, options=off)
    yield of("gradient-boosting-binary", GradientBoostingClassifier(**forest), x2, y2)
    yield of("gradient-boosting-regressor", GradientBoostingRegressor(**forest), xr, yr)
    histogram = dict(max_iter=20, random_state=SEED)
    yield of("hist-boosting-classifier", HistGradientBoostingClassifier(**histogram), holes(x3), y3, options=off)
    yield of("hist-boosting-binary", HistGradientBoostingClassifier(**histogram), holes(x2), y2, options=off)
    yield of("hist-boosting-regressor", HistGradientBoostingRegressor(**histogram), holes(xr), yr)
    yield of("ada-boost-classifier", AdaBoostClassifier(**forest), x3, y3, options=off)
    yield of("bagging-classifier", BaggingClassifier(**forest), x3, y3, options=off)
    yield of("isolation-forest", IsolationForest(**forest), x2, None)
    yield of("logistic-binary", LogisticRegression(), x2, y2)
    yield of("logistic-classifier", LogisticRegression(), x3, words, options=off)
    yield of("logistic-raw", LogisticRegression(), x3, words, options=raw)
    yield of("linear-regression", LinearRegression(), xr, yr)
    yield of("linear-regression-f64", LinearRegression(), xr, yr, dtype=np.float64)
    yield of("ridge", Ridge(), xt, yt)
    yield of("linear-svc", LinearSVC(random_state=SEED), x3, y3)
    yield of("svc", SVC(probability=True, random_state=SEED), x3, y3, options=off)
    yield of("svc-binary", SVC(kernel="poly", random_state=SEED), x2, y2, options=off)
    yield of("svr", SVR(), xr, yr)
    yield of("k-neighbors-classifier", KNeighborsClassifier(), x3, y3, options=off)
    yield of("scaled-logistic", make_pipeline(StandardScaler(), LogisticRegression()), x3, y3, options=off)
    imputed = make_pipeline(SimpleImputer(), MinMaxScaler(), Normalizer(), RandomForestClassifier(**forest))
    yield of("imputed-forest", imputed, holes(x3), y3, options=off)
    yield of("binned-logistic", make_pipeline(KBinsDiscretizer(encode="onehot-dense"), LogisticRegression()), x3, y3, options=off)
    yield of("polynomial-ridge", make_pipeline(PolynomialFeatures(2), Ridge()), xr, yr)
    yield of("binarizer", make_pipeline(MaxAbsScaler(), Binarizer(threshold=0.1)), x3, y3, kind=Transformer)
    yield of("mlp-classifier", MLPClassifier((16,), max_iter=50, random_state=SEED), x3, y3, options=off)
    yield of("k-means", KMeans(3, n_init=1, random_state=SEED), x3, None, kind=Clusters)
    yield of("gaussian-nb", GaussianNB(), x3, y3, options=off)
    mixed = make_pipeline(columns(), RandomForestClassifier(**forest)).fit(known, wealthy)
    yield Table("mixed-columns-forest", mixed, asked, texts=2, options=off)
    mapped = make_pipeline(columns(), LogisticRegression()).fit(known, wealthy)
    yield Table("mixed-columns-logistic", mapped, asked, texts=2)
    ordinal = ColumnTransformer([("text", OrdinalEncoder(), [0, 1])])
    ordinal = make_pipeline(ordinal, DecisionTreeClassifier(random_state=SEED)).fit(known[:, :2], wealthy)
    yield Table("ordinal-tree", ordinal, known[:, :2], texts=2, options=off)
    yield from boosted(holes(x2), y2, holes(x3), y3, holes(xr), yr, rounds=20)


def boosted(x2, y2, x3, y3, xr, yr, rounds):
    light = dict(n_estimators=rounds, random_state=SEED, n_jobs=1, verbose=-1, deterministic=True)
    extreme = dict(n_estimators=rounds, random_state=SEED, n_jobs=1, max_depth=5)
    yield Boosted("lightgbm-classifier", lightgbm.LGBMClassifier(**light).fit(x3, y3), x3)
    yield Boosted("lightgbm-binary", lightgbm.LGBMClassifier(**light).fit(x2, y2), x2)
    yield Boosted("lightgbm-regressor", lightgbm.LGBMRegressor(**light).fit(xr, yr), xr)
    yield Boosted("xgboost-classifier", xgboost.XGBClassifier(**extreme).fit(x3, y3), x3)
    yield Boosted("xgboost-binary", xgboost.XGBClassifier(**extreme).fit(x2, y2), x2)
    yield Boosted("xgboost-regressor", xgboost.XGBRegressor(**extreme).fit(xr, yr), xr)


def benchmarks():
    """Models of a hundred trees, or a hundred rounds of boosting, over three classes or ten digits."""
    off = {"zipmap": False}
    small_x, small_y = classes(3, 100, 10)
    x, y = classes(3, 5000, 10)
    digits_x, digits_y = load_digits(return_X_y=True)
    enlarged = np.arange(28) * 8 // 28
    digits_x = digits_x.reshape(-1, 8, 8)[:, enlarged][:, :, enlarged].reshape(-1, 784)
    noise = np.random.default_rng(SEED).integers(-8, 9, digits_x.shape)
    digits_x = np.clip(digits_x * 16 + noise, 0, 255).astype(np.float32)
    forest = dict(n_estimators=100, random_state=SEED)

    def of(name, model, x, y):
        return Estimator(name, model.fit(x, y), x, options=off)

    yield of("rf_100x10", RandomForestClassifier(**forest), small_x, small_y)
    yield of("rf_5000x10", RandomForestClassifier(**forest), x, y)
    yield of("rf_digits784", RandomForestClassifier(**forest), digits_x, digits_y)
    yield of("histgb", HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=SEED), x, y)
    extreme = xgboost.XGBClassifier(n_estimators=100, random_state=SEED, n_jobs=1)
    light = lightgbm.LGBMClassifier(n_estimators=100, random_state=SEED, n_jobs=1, verbose=-1, deterministic=True)
    yield Boosted("lightgbm", light.fit(x, y), x)
    yield Boosted("xgboost", extreme.fit(x, y), x)
