"""Models that have a way of their own to be asked: ONNX, the boosters of LightGBM and XGBoost without their scikit-learn dress, MLflow's pyfunc."""

from __future__ import annotations

import json
import pickle
import sys

from . import forms
from .tasks import Unfit, name_of

_TYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(bool)": "bool", "tensor(string)": "object",
    **{f"tensor({kind})": kind for kind in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
}  # fmt: skip
# What a model that was converted says of itself: the columns that it takes, and the names of its answers.
COLUMNS, OUTPUTS = "payoff.columns", "payoff.outputs"
_sessions: dict = {}  # a model's id -> the model, which keeps its id its own, and its session


def is_onnx(model):
    """Whether it is a model of ONNX, as its library has it or as its runtime has it."""
    return name_of(model).startswith(("onnx.", "onnxruntime.")) and type(model).__name__ in (
        "ModelProto",
        "InferenceSession",
    )


def is_session(value):
    """Whether it is a model that ONNX Runtime has open."""
    return "onnxruntime" in sys.modules and isinstance(value, sys.modules["onnxruntime"].InferenceSession)


def reopened(session):
    """What stands for an open ONNX model in a pickle: the model's own bytes."""
    content = getattr(session, "_model_bytes", None)
    path = getattr(session, "_model_path", None)
    if not content and path:
        with open(path, "rb") as stream:
            content = stream.read()
    return (sys.modules["onnxruntime"].InferenceSession, (content,)) if content else NotImplemented


def opened(path):
    """The model in a file: a pickle, or an ONNX model, for which none is opened."""
    with open(path, "rb") as stream:
        return session(stream.read()) if path.endswith(".onnx") else pickle.load(stream)


def session(content):
    """An ONNX model, open in ONNX Runtime with one thread: a batch is small, and there may be several processes."""
    runtime = forms.need("onnxruntime", "an ONNX model")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def columns(model, rows):
    """The columns of what an open ONNX model says of rows."""
    from . import scoring

    found = says(model, None, rows)
    return scoring.answered(model, scoring.columns_of(found[0]), found[1])[1]


def described(session, what):
    """What a converted model says of itself; None where it is no such."""
    said = session.get_modelmeta().custom_metadata_map.get(what)
    return None if said is None else json.loads(said)


def session_of(model):
    """The model, open in ONNX Runtime, with as many threads as the process may have."""
    if type(model).__name__ == "InferenceSession":
        return model
    if id(model) not in _sessions:
        runtime = forms.need("onnxruntime", "scoring an ONNX model")
        _sessions[id(model)] = (
            model,
            runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]),
        )
    return _sessions[id(model)][1]


def names(model):
    """The columns that the model names; None where it names none."""
    if is_onnx(model):
        known = described(session_of(model), COLUMNS)
        if known is not None:
            return known
        inputs = session_of(model).get_inputs()
        return [each.name for each in inputs] if len(inputs) > 1 else None
    kind = name_of(model)
    if kind == "lightgbm.basic.Booster":
        return list(model.feature_name())
    if kind == "xgboost.core.Booster":
        return list(model.feature_names) if model.feature_names else None
    if kind == "mlflow.pyfunc.PyFuncModel":
        schema = model.metadata.get_input_schema()
        return list(schema.input_names()) if schema is not None and schema.has_input_names() else None
    return None


def says(model, frame, rows):
    """What the model says of the rows, and the classes that it names (None: none); None where it is none of these."""
    if is_onnx(model):
        return _onnx(session_of(model), rows)
    if name_of(model) == "xgboost.core.Booster":
        matrix = sys.modules["xgboost"].DMatrix(frame)
        return model.predict(matrix), None
    return None


def _onnx(session, rows):
    inputs = session.get_inputs()
    if len(inputs) == 1 and (rows.num_columns > 1 or inputs[0].name not in rows.column_names):
        given = {inputs[0].name: _matrix(inputs[0], rows)}
    else:
        given = {each.name: _column(each, rows) for each in inputs}
    outputs = session.get_outputs()
    likely = [place for place, each in enumerate(outputs) if "prob" in each.name.lower()] or [len(outputs) - 1]
    said = session.run([outputs[likely[0]].name], given)[0]
    if (
        isinstance(said, list) and said and isinstance(said[0], dict)
    ):  # a map for each row, as skl2onnx makes them unless told otherwise
        classes = list(said[0])
        said = [[row[each] for each in classes] for row in said]
    else:
        classes = None
    named = described(session, OUTPUTS)
    if named is None:
        return said, classes
    if len(named) == 1:  # of two chances, that of what is asked for
        return [row[-1] if hasattr(row, "__len__") else row for row in said], None
    return said, [each.removeprefix("p_") for each in named]


def _matrix(asked, rows):
    from . import scoring

    kind = _kind(asked)
    return scoring.numbers(rows, "float64" if kind == "float64" else "float32").astype(kind, copy=False)


def _column(asked, rows):
    if asked.name not in rows.column_names:
        raise Unfit("type", f"its model has an input {asked.name!r}, and train has no such column")
    values = rows.column(asked.name).to_numpy(zero_copy_only=False).astype(_kind(asked), copy=False)
    return values.reshape(-1, 1) if len(asked.shape) == 2 else values


def _kind(asked):
    kind = _TYPES.get(asked.type)
    if kind is None:
        raise Unfit(
            "type", f"its model's input {asked.name!r} is {asked.type}; tables have numbers, texts and truth values"
        )
    return kind
