"""Loads a model that Payoff logged, in any MLflow client: the standard library only, shipped with the model.

MLflow calls `_load_pyfunc` with the path of the pickle; `payoff.json` beside it says in which form it takes rows.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import sys
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
                return method(_numbers(rows), verbose=0) if self._is_keras_of_one_input() else method(rows)
        return self._net(rows) if self._is_torch() else self.model(rows)

    def get_raw_model(self) -> Any:
        """The object as the step returned it."""
        return self.model

    def _is_keras_of_one_input(self) -> bool:
        keras = sys.modules.get("keras")  # opening the model imported it
        return keras is not None and isinstance(self.model, keras.Model) and len(self.model.inputs or ()) < 2

    def _is_torch(self) -> bool:
        torch = sys.modules.get("torch")
        return torch is not None and isinstance(self.model, torch.nn.Module)

    def _net(self, rows: Any) -> Any:
        """A PyTorch net takes a matrix of its own kind of numbers, and is not in training any more."""
        torch = importlib.import_module("torch")
        self.model.eval()
        matrix = torch.from_numpy(_numbers(rows))
        kinds = [each.dtype for each in self.model.parameters() if each.is_floating_point()]
        with torch.no_grad():
            return self.model(matrix.to(kinds[0]) if kinds else matrix).numpy()

    def _in_form(self, rows: Any) -> Any:
        if self.form == "polars" and not type(rows).__module__.startswith("polars"):
            return importlib.import_module("polars").from_pandas(rows)
        if self.form == "pyarrow" and not type(rows).__module__.startswith("pyarrow"):
            return importlib.import_module("pyarrow").Table.from_pandas(rows, preserve_index=False)
        return rows


def _numbers(rows: Any) -> Any:
    """A matrix of 32-bit numbers, the columns in the order of the signature."""
    frame = rows.to_pandas() if hasattr(rows, "to_pandas") else rows
    return frame.to_numpy(dtype="float32")


def _load_pyfunc(path: str) -> Model:
    if os.environ.get("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true").lower() in ("false", "0"):
        message = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION is off, and this model is a pickle"
        raise RuntimeError(message)
    with open(os.path.join(os.path.dirname(path), "payoff.json"), encoding="utf-8") as stream:
        form = json.load(stream)["form"]
    with open(path, "rb") as stream:
        return Model(pickle.load(stream), form)  # noqa: S301 - this is the client's process, which asked for the model
