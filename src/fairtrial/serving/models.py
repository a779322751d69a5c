"""Models of any kind behind one call: features in, a prediction out."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from fairtrial.errors import ConnectorError, UnknownNameError, UsageError

PICKLES = (".joblib", ".pkl", ".pickle")
Predict = Callable[[Any], Any]
"""Features to a prediction: a number, a label, or a list of numbers."""


def load_model(path: str | Path) -> Any:
    """A model from disk or from an MLflow registry (ML-08).

    Args:
        path: A file of joblib or pickle (which runs code as it is read: open none but your own), or
            `models:/name@alias`, `models:/name/version`, `runs:/...` of MLflow.

    Raises:
        UsageError: It is of no known kind, or there is no such file.
        ConnectorError: It could not be read.
    """
    text = str(path)
    if text.startswith(("models:/", "runs:/", "mlflow-artifacts:/")):
        return _from_mlflow(text)
    file = Path(path)
    if file.suffix not in PICKLES:
        raise UsageError(
            f"A model is a file of {', '.join(PICKLES)} or an MLflow address such as models:/fraud@champion, got {text!r}.",
            hint="Any callable serves too: pass it in `models`.",
        )
    if not file.is_file():
        raise UsageError(f"There is no model file {text!r}.")
    joblib: Any = _module("joblib") or importlib.import_module("pickle")
    try:
        if joblib.__name__ == "joblib":
            return joblib.load(file)
        with file.open("rb") as stream:
            return joblib.load(stream)
    except Exception as error:  # unpickling can raise anything
        raise ConnectorError(f"The model {text!r} cannot be read: {type(error).__name__}: {error}.") from error


def _from_mlflow(uri: str) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    pyfunc: Any = _module("mlflow.pyfunc")
    if pyfunc is None:
        raise UsageError(f"Models of MLflow need its package, got {uri!r}.", hint="pip install 'fairtrial[mlflow]'")
    try:
        return pyfunc.load_model(uri)
    except Exception as error:  # the registry can raise anything
        raise ConnectorError(f"MLflow has no model {uri!r}: {type(error).__name__}: {error}.") from error


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


def as_predict(model: Any) -> Predict:
    """A model as a function.

    A scikit-learn classifier gives the probability of its last class (of each class, when there are
    more than two); what has `predict` (scikit-learn, MLflow) gets a frame of one row; a
    callable gets the features as they are.

    Raises:
        UsageError: It is none of these.
    """
    if hasattr(model, "predict_proba"):
        return lambda features: _probability(model.predict_proba(_frame(features)))
    if hasattr(model, "predict"):
        return lambda features: _plain(model.predict(_frame(features)))
    if callable(model):
        return lambda features: _plain(model(features))
    raise UsageError(f"A model is callable or has `predict`, got {type(model).__name__}.")


def named_models(models: Mapping[str, Any], wanted: tuple[str, ...]) -> dict[str, Predict]:
    """A function by model, loading those that are given as a path.

    Raises:
        UnknownNameError: A model is missing.
        UsageError: One cannot be loaded or called.
    """
    for name in wanted:
        if name not in models:
            raise UnknownNameError.among("model", name, models)
    return {name: as_predict(load_model(models[name]) if isinstance(models[name], str | Path) else models[name]) for name in wanted}


def _frame(features: Any) -> Any:
    """Features as the frame or array of one row that fitted models ask for."""
    if isinstance(features, Mapping):
        pandas: Any = importlib.import_module("pandas")
        return pandas.DataFrame([dict(cast("Mapping[str, Any]", features))])
    numpy: Any = importlib.import_module("numpy")
    array = numpy.asarray(features)
    return array.reshape(1, -1) if array.ndim == 1 else features


def _probability(rows: Any) -> Any:
    row: list[Any] | float = _plain(rows)
    return row[-1] if isinstance(row, list) and len(row) == 2 else row


def _plain(value: Any) -> Any:
    """NumPy and pandas results as numbers and lists; one row stands for itself."""
    plain = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(plain, list | tuple):
        items: list[Any] = list(cast("Any", plain))
        return items[0] if len(items) == 1 else items
    return plain
