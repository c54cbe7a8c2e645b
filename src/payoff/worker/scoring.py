"""A model's predictions for rows it never saw: probabilities where it gives them."""

from __future__ import annotations

import pickle

from . import forms
from .tasks import Unfit, name_of


def score(task):
    """Open the model here, inside the sandbox, and write its predictions as a table; control judges them."""
    pa = forms.need("pyarrow", "scoring a model")
    given = {each["name"]: each for each in task["inputs"]}
    with open(given["model"]["path"], "rb") as stream:
        model = pickle.load(stream)
    rows = forms.read(given["rows"])
    names = list(
        getattr(model, "feature_names_in_", None) if hasattr(model, "feature_names_in_") else rows.column_names
    )
    missing = [name for name in names if name not in rows.column_names]
    if missing:
        raise Unfit(
            "type",
            f"its model wants the column {missing[0]!r}, which it may not have when it decides; "
            "train on the columns of `train` without the outcome",
        )
    frame = forms.shaped(rows.select(names), given["rows"]["form"], "train", task["output"])
    classes, columns = predict(model, frame)
    table = pa.table(columns)
    extra = {
        "classes": classes,
        "rows": table.num_rows,
        "feature_names": names,
        "model_class": name_of(model),
        "framework": type(model).__module__.partition(".")[0],
        "signature": {
            "inputs": [{"name": name, "type": str(rows.schema.field(name).type)} for name in names],
            "outputs": [{"name": name, "type": str(table.schema.field(name).type)} for name in table.column_names],
        },
    }
    return {"kind": "table", "file": forms.write(table, task["output"] + ".arrow"), "extra": extra}


def predict(model, frame):
    """The model's classes (None where it gives a number) and the columns of its predictions."""
    if hasattr(model, "predict_proba"):
        values = columns_of(model.predict_proba(frame))
        classes = [plain(each) for each in getattr(model, "classes_", range(len(values)))]
        if len(classes) != len(values):
            raise Unfit(
                "type", f"its model names {len(classes)} classes and predicts {len(values)} probabilities a row"
            )
        return classes, {f"p_{name}": floats(value) for name, value in zip(classes, values)}
    if not callable(getattr(model, "predict", model)):
        raise Unfit("type", f"its model, a {name_of(model)}, has no predict_proba and no predict, and cannot be called")
    values = columns_of(getattr(model, "predict", model)(frame))
    if len(values) == 1:
        return None, {"prediction": floats(values[0])}
    return list(range(len(values))), {f"p_{number}": floats(value) for number, value in enumerate(values)}


def columns_of(values):
    """A list with one sequence per column, of whatever a model returned."""
    if hasattr(values, "to_numpy") and not hasattr(values, "shape"):
        values = values.to_numpy()
    elif hasattr(values, "to_numpy") and type(values).__module__.partition(".")[0] in ("pandas", "polars"):
        values = values.to_numpy()
    elif type(values).__module__.partition(".")[0] == "torch":
        values = values.detach().cpu().numpy()
    if hasattr(values, "column_names"):
        return [values.column(name).to_pylist() for name in values.column_names]
    if hasattr(values, "shape"):
        return [values] if len(values.shape) == 1 else [values[:, k] for k in range(values.shape[1])]
    values = list(values)
    if values and hasattr(values[0], "__len__") and not isinstance(values[0], str):
        return [[row[k] for row in values] for k in range(len(values[0]))]
    return [values]


def floats(values):
    """Numbers of a column as Arrow doubles."""
    import pyarrow as pa

    try:
        return pa.array(values, pa.float64(), from_pandas=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError):
        try:
            return pa.array([float(each) for each in values], pa.float64())
        except (TypeError, ValueError):
            raise Unfit("type", "its model predicts something that is not a number") from None


def plain(value):
    """A class as JSON can say it."""
    return value.item() if hasattr(value, "item") else value
