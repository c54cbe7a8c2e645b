"""A fitted model -> an ONNX model that says the same: the first of a few ways whose answers are those that the run has."""

from __future__ import annotations

import io
import json
import os
import pickle
import sys

from .. import forms, objects, runtimes
from ..tasks import Unfit, name_of, said

_KINDS = ("float", "double")  # trees compare in single precision, linear models are exact in double


def convert(task):
    """`convert`: open the model here, inside the sandbox, and write it as ONNX where that answers within `tolerance` of what is `said`."""
    given = {each["name"]: each for each in task["inputs"]}
    rows, known = forms.read(given["rows"]), forms.read(given["said"])
    with open(given["model"]["path"], "rb") as stream:
        model = pickle.load(stream)
    tried = []
    for way, make in ways(model, rows):
        try:
            content = described(make(), rows.column_names, known.column_names)
            far = farthest(runtimes.columns(runtimes.session(content), rows), known)
        except Exception as error:  # of a dozen libraries; the last way's is told
            tried.append({"way": way, "error": f"{type(error).__name__}: {cause(error)}"[:300]})
            continue
        tried.append({"way": way, "farthest": far})
        if far <= task["options"]["tolerance"]:
            return {"kind": "object", "file": write(content, task["output"] + ".onnx"), "extra": {"tried": tried}}
    return {"kind": "none", "extra": {"tried": tried, "model_class": name_of(model)}}


def ways(model, rows):
    """Ways to try: what each is called, and what makes the ONNX model of it."""
    maker = maker_of(model)
    if maker is None:
        return
    if maker is of_torch:
        yield "float matrix", lambda: of_torch(model, rows)
        return
    types = forms.need(TYPES[maker], "a conversion to ONNX")
    plain = all(number(field.type) for field in rows.schema)
    for apart in (False, True) if plain else (True,):
        for kind in _KINDS:
            yield (
                f"{kind} {'columns' if apart else 'matrix'}",
                lambda kind=kind, apart=apart: maker(model, inputs(rows, kind, types, apart=apart)),
            )


def maker_of(model):
    """What converts models of this kind; None where nothing does."""
    if objects.is_torch(model):
        return of_torch
    # A class of the project's own counts as what it is derived from.
    tops = [each.__module__.partition(".")[0] for each in type(model).__mro__]
    return next((MAKERS[top] for top in tops if top in MAKERS), None)


def inputs(rows, kind, types, *, apart):
    """Names and types (of the converter's own) of what the ONNX model takes: one matrix, or each column apart."""
    numeric = {"float": types.FloatTensorType, "double": types.DoubleTensorType}[kind]
    if not apart:
        return [("rows", numeric([None, rows.num_columns]))]
    found = []
    for field in rows.schema:
        if not number(field.type) and str(field.type) not in ("string", "large_string"):
            raise Unfit(
                "type", f"the column {field.name!r} has {field.type}: numbers, truth values and texts can be taken"
            )
        found.append((field.name, numeric([None, 1]) if number(field.type) else types.StringTensorType([None, 1])))
    return found


def number(kind):
    """Whether a column of this Arrow type is one of numbers."""
    of = sys.modules["pyarrow"].types
    return of.is_boolean(kind) or of.is_integer(kind) or of.is_floating(kind) or of.is_decimal(kind)


def of_sklearn(model, taken):
    """scikit-learn's, by skl2onnx."""
    library = forms.need("skl2onnx", "a conversion to ONNX")
    options = {"zipmap": False} if hasattr(model, "predict_proba") else None
    return library.to_onnx(model, initial_types=taken, options=options)


def of_lightgbm(model, taken):
    """LightGBM's, by onnxmltools."""
    library = forms.need("onnxmltools", "a conversion to ONNX")
    booster = getattr(model, "booster_", model)  # it has no classes, which must be numbers or texts
    return library.convert_lightgbm(booster, initial_types=taken, zipmap=False)


def of_xgboost(model, taken):
    """XGBoost's, by onnxmltools, which numbers the columns."""
    library = forms.need("onnxmltools", "a conversion to ONNX")
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    booster.feature_names = None  # this process is the model's last
    return library.convert_xgboost(model, initial_types=taken)


def of_torch(model, rows):
    """A net of PyTorch, by PyTorch, with any number of rows."""
    torch, onnx = forms.need("torch", "a conversion to ONNX"), forms.need("onnx", "a conversion to ONNX")
    known = next((each for each in model.parameters() if each.is_floating_point()), None)
    example = torch.zeros(3, rows.num_columns, dtype=None if known is None else known.dtype)
    out = io.BytesIO()
    names = {"input_names": ["rows"], "output_names": ["said"]}
    axes = {"rows": {0: "n"}, "said": {0: "n"}}
    torch.onnx.export(model.eval(), (example,), out, dynamic_axes=axes, dynamo=False, **names)
    return onnx.load_from_string(out.getvalue())


MAKERS = {"sklearn": of_sklearn, "lightgbm": of_lightgbm, "xgboost": of_xgboost}
_THEIRS = "onnxmltools.convert.common.data_types"
TYPES = {of_sklearn: "skl2onnx.common.data_types", of_lightgbm: _THEIRS, of_xgboost: _THEIRS}


def described(made, columns, outputs):
    """The model's bytes; it says itself which columns it takes, and what its answers are called."""
    made.graph.name = "model"  # some converters make up a new one each time
    for key, value in ((runtimes.COLUMNS, columns), (runtimes.OUTPUTS, outputs)):
        entry = made.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value)
    return made.SerializeToString(deterministic=True)


def farthest(found, known):
    """The largest difference, of a number above 1 as a share of it; infinite where one is missing."""
    numpy = forms.need("numpy", "a conversion to ONNX")
    if list(found) != known.column_names:
        raise Unfit("type", f"it answers {', '.join(found)}, and the model {', '.join(known.column_names)}")
    most = 0.0
    for name, column in found.items():
        ours, theirs = column.to_numpy(zero_copy_only=False), known.column(name).to_numpy()
        with numpy.errstate(invalid="ignore"):
            far = numpy.abs(ours - theirs) / numpy.maximum(1.0, numpy.abs(theirs))
        far[numpy.isnan(ours) & numpy.isnan(theirs)] = 0.0
        most = max(most, float(numpy.nan_to_num(far, nan=numpy.inf).max(initial=0.0)))
    return most


def write(content, path):
    """The name appears when the file is whole."""
    with open(path + ".part", "wb") as stream:
        stream.write(content)
    os.replace(path + ".part", path)
    return path


def cause(error):
    """What an error says, and what the one says that it came of."""
    return " ".join(f"{said(error)} {said(error.__cause__) if error.__cause__ else ''}".split())
