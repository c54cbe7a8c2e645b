"""A model's predictions for rows it never saw: probabilities where it gives them."""

from __future__ import annotations

import contextlib

from . import forms, objects, runtimes
from .tasks import Unfit, name_of

BATCH = 8192  # rows that a net takes at once


def score(task):
    """Open the model here, inside the sandbox, and write its predictions as a table; control judges them."""
    pa = forms.need("pyarrow", "scoring a model")
    given = {each["name"]: each for each in task["inputs"]}
    model = runtimes.opened(given["model"]["path"])
    rows = forms.read(given["rows"])
    names = features(model, rows, task["options"])
    missing = [name for name in names if name not in rows.column_names]
    if missing:
        raise Unfit(
            "type",
            f"its model wants the column {missing[0]!r}, which it may not have when it decides; "
            "train on the columns of `train` without the outcome",
        )
    frame = forms.shaped(rows.select(names), given["rows"]["form"], "train", task["output"])
    classes, columns = predict(model, frame, rows.select(names))
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


def features(model, rows, options):
    """The columns that the model takes: those it names; a net, which names none, takes all but the decision's id."""
    if getattr(model, "feature_names_in_", None) is not None:
        return [str(each) for each in model.feature_names_in_]
    named_ = runtimes.names(model)
    if named_ is not None:
        return named_
    net = (
        runtimes.is_onnx(model) or objects.is_torch(model) or (objects.is_keras(model) and len(model.inputs or ()) < 2)
    )
    return [name for name in rows.column_names if not (net and name == options.get("id"))]


def predict(model, frame, rows=None):
    """The model's classes (None where it gives a number) and the columns of its predictions; `rows` is `frame` as Arrow has it."""
    if hasattr(model, "predict_proba"):
        values = columns_of(model.predict_proba(frame))
        return named(model, values, list(getattr(model, "classes_", range(len(values)))))
    found = runtimes.says(model, frame, rows)
    if found is not None:
        values, classes = columns_of(found[0]), found[1]
        return answered(model, values, classes)
    if not callable(getattr(model, "predict", model)):
        raise Unfit("type", f"its model, a {name_of(model)}, has no predict_proba and no predict, and cannot be called")
    if objects.is_torch(model):
        values = columns_of(torch_says(model, rows))
    elif objects.is_keras(model):
        values = columns_of(keras_says(model, rows))
    else:
        values = columns_of(getattr(model, "predict", model)(frame))
    return answered(model, values, getattr(model, "classes_", None))


def answered(model, values, classes):
    """A number a row, or a probability for each class; classes that the model does not name are numbered."""
    if len(values) == 1:
        return None, {"prediction": floats(values[0])}
    return named(model, values, list(range(len(values)) if classes is None else classes))


def named(model, values, classes):
    """Probabilities under the names of their classes."""
    classes = [plain(each) for each in classes]
    if len(classes) != len(values):
        raise Unfit("type", f"its model names {len(classes)} classes and predicts {len(values)} probabilities a row")
    return classes, {f"p_{name}": floats(value) for name, value in zip(classes, values)}


def torch_says(model, rows):
    """What a net says of rows of numbers: without gradients, as it is used and not as it is trained."""
    torch = forms.need("torch", "scoring a net")
    model.eval()
    matrix = torch.from_numpy(numbers(rows))
    known = next((each for each in model.parameters() if each.is_floating_point()), None)
    if known is not None:
        matrix = matrix.to(known.dtype).to(known.device)
    with torch.no_grad(), taking(rows):
        return torch.cat([model(some) for some in matrix.split(BATCH)])


def keras_says(model, rows):
    """What a Keras model says of rows: of one input all columns as numbers, of several inputs each the column of its name."""
    inputs = [getattr(each, "name", "").partition(":")[0] for each in model.inputs or ()]
    if len(inputs) < 2:
        matrix = numbers(rows)
        with taking(rows):
            return model.predict(matrix, batch_size=BATCH, verbose=0)
    absent = [name for name in inputs if name not in rows.column_names]
    if absent:
        raise Unfit("type", f"its model has an input {absent[0]!r}, and train has no such column")
    given = {name: rows.column(name).to_numpy(zero_copy_only=False) for name in inputs}
    return model.predict(given, batch_size=BATCH, verbose=0)


@contextlib.contextmanager
def taking(rows):
    """What a net says of a matrix that does not fit is told with the columns that it was given."""
    try:
        yield
    except (RuntimeError, TypeError, ValueError) as error:
        shown = ", ".join(rows.column_names[:6]) + (", ..." if rows.num_columns > 6 else "")
        said = (str(error).strip().splitlines() or [""])[0][:200]
        raise Unfit(
            "type",
            f"its net could not take the {rows.num_columns} columns of train but the id and the outcome ({shown}), "
            f"in this order, as numbers: {type(error).__name__}: {said}",
        ) from error


def numbers(rows, kind="float32"):
    """A matrix of numbers, a column for each column."""
    pa, numpy = forms.need("pyarrow", "scoring a net"), forms.need("numpy", "scoring a net")
    for field in rows.schema:
        of = field.type
        if not (
            pa.types.is_boolean(of) or pa.types.is_integer(of) or pa.types.is_floating(of) or pa.types.is_decimal(of)
        ):
            raise Unfit(
                "type",
                f"its model is a net, which takes numbers, and the column {field.name!r} has {of}; "
                "encode it in a step before, or give the model a predict_proba that takes the rows as they are",
            )
    matrix = numpy.empty((rows.num_rows, rows.num_columns), dtype=kind)
    for place, column in enumerate(rows.columns):
        matrix[:, place] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return matrix


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
