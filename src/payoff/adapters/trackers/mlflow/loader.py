"""Loads a model that Payoff logged, in any MLflow client: the standard library only, shipped with the model.

MLflow calls `_load_pyfunc` with the path of the pickle; `payoff.json` beside it says in which form it takes rows.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
from typing import Any


class Model:
    """`predict` gives one column of probabilities per class where the model has them, else its predictions."""

    def __init__(self, model: Any, form: str) -> None:
        self.model = model
        self.form = form

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Probabilities where the model has them, else predictions: one row for each row of the input."""
        rows = self._in_form(model_input)
        for name in ("predict_proba", "predict"):
            method = getattr(self.model, name, None)
            if callable(method):
                return method(rows)
        return self.model(rows)

    def get_raw_model(self) -> Any:
        """The object as the step returned it."""
        return self.model

    def _in_form(self, rows: Any) -> Any:
        if self.form == "polars" and not type(rows).__module__.startswith("polars"):
            return importlib.import_module("polars").from_pandas(rows)
        if self.form == "pyarrow" and not type(rows).__module__.startswith("pyarrow"):
            return importlib.import_module("pyarrow").Table.from_pandas(rows, preserve_index=False)
        return rows


def _load_pyfunc(path: str) -> Model:
    if os.environ.get("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true").lower() in ("false", "0"):
        message = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION is off, and this model is a pickle"
        raise RuntimeError(message)
    with open(os.path.join(os.path.dirname(path), "payoff.json"), encoding="utf-8") as stream:
        form = json.load(stream)["form"]
    with open(path, "rb") as stream:
        return Model(pickle.load(stream), form)  # noqa: S301 - this is the client's process, which asked for the model
