"""The server's own description, in OpenAPI 3.1: every address, every status, and of each column what is promised of it.

The parts of the Open Inference Protocol are written after its specification, https://github.com/kserve/open-inference-protocol (REST).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from payoff import __version__
from payoff.serving.protocols import described
from payoff.serving.protocols.tensors import BYTES, TYPES

if TYPE_CHECKING:
    from payoff.records.serving.served import InputColumn, Served

_LARGEST_DOUBLE = 1.7976931348623157e308
_TEXT = {"type": "string"}
_NUMBER = {"type": "number"}
_WHY = {
    400: "what was sent is wrong, and says where",
    401: "there is no token, or another",
    404: "there is no such model, or not this version",
    408: "the body did not come in time",
    413: "the body is too large",
    415: "the body is compressed, or of another kind",
    422: "a payoff of the charter is no amount for some rows",
    429: "there are more requests than can be answered; the header Retry-After says when to come again",
    500: "the model raised, or predicted what is no prediction",
    501: "this model takes no decisions here",
    503: "the server starts, stops, or cannot write its log; the header Retry-After says when to come again",
    504: "the model did not answer in time",
}
_ASKED = (400, 408, 413, 415, 422, 429, 500, 501, 503, 504)


def document(served: Served, *, token: bool) -> dict[str, Any]:
    """The description of a server of this model; `token`: clients have to send one."""
    schemas = {**_protocol(), **_tables(served), "Error": _error()}
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": f"{served.name}, served by Payoff", "version": __version__},
        "paths": _paths(served, token=token),
        "components": {"schemas": schemas},
    }
    if token:
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return made


def _paths(served: Served, *, token: bool) -> dict[str, Any]:
    name = {"name": "name", "in": "path", "required": True, "schema": {"enum": [served.name]}}
    version = {"name": "version", "in": "path", "required": True, "schema": {"enum": [served.version]}}

    def get(says: str, of: Any, *more: int, known: bool = False, kind: str = "application/json", **extra: Any) -> Any:
        codes = (*more, *((401,) if known and token else ()))
        secured: dict[str, Any] = {"security": [{"token": []}]} if known and token else {}
        return {"get": {"summary": says, "responses": _responses(of, codes, kind), **secured, **extra}}

    def post(says: str, body: dict[str, Any], of: Any, *more: int, **extra: Any) -> Any:
        codes = (*_ASKED, *more, *((401,) if token else ()))
        secured: dict[str, Any] = {"security": [{"token": []}]} if token else {}
        told = {"summary": says, "requestBody": {"required": True, "content": body}, "responses": _responses(of, codes)}
        return {"post": {**told, **secured, **extra}}

    ready = {
        "type": "object",
        "required": ["ready"],
        "properties": {"ready": {"type": "boolean"}, "why": _TEXT},
    }
    table = {"application/json": {"schema": _of("Table")}, "text/csv": {"schema": _TEXT}}
    infer = {"application/json": {"schema": _of("InferenceRequest")}}
    found: dict[str, Any] = {
        "/v2/health/live": get("Whether the server is there", {"type": "object"}),
        "/v2/health/ready": get("Whether questions are answered", ready, 503),
        "/v2": get("What the server is", _of("ServerMetadata"), known=True),
        "/ping": get("Whether the server is there", None),
        "/health": get("Whether the server is there", {"type": "object"}),
        "/version": get("The version of Payoff", _TEXT, known=True, kind="text/plain"),
        "/metrics": get("Figures for Prometheus", _TEXT, known=True, kind="text/plain"),
        "/openapi.json": get("This document", {"type": "object"}, known=True),
        "/invocations": post("Predictions, as MLflow's servers give them", table, _of("Predictions")),
        "/decide": post("Actions with what they should bring", table, _of("Decisions")),
    }
    for path, which in (("/v2/models/{name}", [name]), ("/v2/models/{name}/versions/{version}", [name, version])):
        found[path] = get("What the model takes and answers", _of("ModelMetadata"), 404, known=True, parameters=which)
        found[f"{path}/ready"] = get("Whether the model answers", ready, 404, 503, parameters=which)
        found[f"{path}/infer"] = post("Predictions", infer, _of("InferenceResponse"), 404, parameters=which)
        found[f"{path}/infer"]["post"]["responses"]["200"]["content"]["application/octet-stream"] = {}  # binary tensors
    return found


def _responses(of: Any, codes: tuple[int, ...], kind: str = "application/json") -> dict[str, Any]:
    good: dict[str, Any] = {"description": "so it is"}
    if of is not None:
        good["content"] = {kind: {"schema": of}}
    wrong = {
        str(code): {"description": _WHY[code], "content": {"application/json": {"schema": _of("Error")}}}
        for code in sorted(codes)
    }
    if of is not None and 503 in codes and "ready" in of.get("required", ()):
        wrong["503"] = {"description": "not now", "content": {kind: {"schema": of}}}
    return {"200": good, **wrong}


def _of(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def _list(of: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": of, **more}


def _protocol() -> dict[str, Any]:
    """What the Open Inference Protocol says of requests and answers."""
    datatype = {"enum": [*TYPES, BYTES]}
    values = _list({"anyOf": [{"type": ["number", "string", "boolean", "null"]}, _of("Values")]})
    described_ = _object("name", "datatype", "shape", name=_TEXT, datatype=datatype, shape=_list({"type": "integer"}))
    tensor = _object(
        "name", "shape", "datatype",
        name=_TEXT, shape=_list({"type": "integer", "minimum": 0}), datatype=datatype, parameters={"type": "object"}, data=_of("Values"),
    )  # fmt: skip
    return {
        "Values": values,
        "Tensor": tensor,
        "TensorMetadata": described_,
        "ServerMetadata": _object("name", "version", "extensions", name=_TEXT, version=_TEXT, extensions=_list(_TEXT)),
        "ModelMetadata": _object(
            "name", "versions", "platform", "inputs", "outputs",
            name=_TEXT, versions=_list(_TEXT), platform=_TEXT, inputs=_list(_of("TensorMetadata")), outputs=_list(_of("TensorMetadata")),
        ),
        "InferenceRequest": _object(
            "inputs",
            id=_TEXT, parameters={"type": "object"}, inputs=_list(_of("Tensor"), minItems=1),
            outputs=_list(_object("name", name=_TEXT, parameters={"type": "object"})),
        ),
        "InferenceResponse": _object(
            "model_name", "outputs",
            model_name=_TEXT, model_version=_TEXT, id=_TEXT, parameters={"type": "object"}, outputs=_list(_of("Tensor"), minItems=1),
        ),
    }  # fmt: skip


def _tables(served: Served) -> dict[str, Any]:
    """Rows as they are promised, in every form in which they may come, and what is answered."""
    promised = {each.name: column(each) for each in served.columns}
    row = _object(*promised, **promised)
    lists = _list(
        {"type": "array", "prefixItems": list(promised.values()), "minItems": len(promised), "maxItems": len(promised)},
        minItems=1,
    )
    rows = _list(_of("Row"), minItems=1)
    split = _object("columns", "data", columns={"const": list(promised)}, data=lists)
    columns = {"anyOf": [_object(*promised, **{each: _list(of) for each, of in promised.items()}), rows]}
    forms = {"rows": rows, "dataframe_records": rows, "instances": rows, "dataframe_split": split, "inputs": columns}
    capacity = _object("action", "bar", "counted", action=_TEXT, bar=_NUMBER, counted={"const": False})
    return {
        "Row": row,
        "Table": {"oneOf": [_object(form, **{form: of}, id=_TEXT) for form, of in forms.items()]},
        "Predictions": _object("predictions", predictions=_list({"anyOf": [_NUMBER, _list(_NUMBER)]}, minItems=1)),
        "Decisions": _object(
            "model", "version", "id", "currency", "decisions",
            model=_TEXT, version=_TEXT, id=_TEXT, currency=_TEXT, unit=_TEXT, capacity=capacity, decisions=_list(_decision(served), minItems=1),
        ),
    }  # fmt: skip


def _decision(served: Served) -> dict[str, Any]:
    """A decision as it is told: of named actions with the payoff of each, of quantities with the forecast."""
    charter, quantity = served.charter, served.charter.quantity
    if quantity is None:
        amounts, chances = (
            _object(*names, **dict.fromkeys(names, _NUMBER)) for names in (charter.actions, charter.outcomes)
        )
        return _object(
            "action", "expected_payoff", "payoffs", "probabilities",
            action={"enum": list(charter.actions)}, expected_payoff=_NUMBER, payoffs=amounts, probabilities=chances,
        )  # fmt: skip
    action = {"type": "number", "minimum": float(quantity.least), "maximum": float(quantity.most)}
    if served.errors is None:  # the model names the quantity itself, and says nothing of what it should bring
        return _object("action", "expected_payoff", action=action, expected_payoff={"type": "null"})
    return _object("action", "expected_payoff", "forecast", action=action, expected_payoff=_NUMBER, forecast=_NUMBER)


def _error() -> dict[str, Any]:
    fault = _object("row", "column", "rule", row={"type": "integer", "minimum": 0}, column=_TEXT, rule=_TEXT)
    return _object(
        "error", "code", "try",
        error=_TEXT, code={"type": "string", "pattern": "^PO-J0[0-9][0-9]$"}, **{"try": _TEXT},
        faults=_list(fault), count={"type": "integer", "minimum": 1}, error_code=_TEXT, message=_TEXT,
    )  # fmt: skip


def column(asked: InputColumn) -> dict[str, Any]:
    """What is promised of a column, as JSON Schema.

    >>> from payoff.records.contract import Column
    >>> from payoff.records.serving.served import InputColumn
    >>> column(InputColumn(name="tenure", type="int8", promise=Column(name="tenure", required=True, minimum=0)))
    {'type': 'integer', 'minimum': 0, 'maximum': 127}
    """
    promise = asked.promise
    made = _typed(asked.type)
    for key, value, choose in (("minimum", promise.minimum, max), ("maximum", promise.maximum, min)):
        if isinstance(value, int | float) and "type" in made and made["type"] in ("integer", "number"):
            made[key] = choose(value, made.get(key, value))
    if made.get("type") == "string" and "format" not in made:
        if promise.min_length is not None:
            made["minLength"] = promise.min_length
        if promise.max_length is not None:
            made["maxLength"] = promise.max_length
        if promise.pattern is not None:
            made["pattern"] = f"^(?:{promise.pattern})$"
    if promise.enum is not None:
        made["enum"] = [each.isoformat() if isinstance(each, dt.date) else each for each in promise.enum]
    if promise.required:
        return made
    if "enum" in made:
        made["enum"] = [*made["enum"], None]
    return {**made, "type": [made["type"], "null"]} if "type" in made else made


def _typed(arrow: str) -> dict[str, Any]:
    """What a column's Arrow type says of its values."""
    kind = described.datatype(arrow)
    if kind == "BOOL":
        return {"type": "boolean"}
    if kind.startswith(("INT", "UINT")):
        bits = int(kind.lstrip("UINT"))
        low = 0 if kind[0] == "U" else -(2 ** (bits - 1))
        return {"type": "integer", "minimum": low, "maximum": 2 ** (bits - (kind[0] != "U")) - 1}
    if kind.startswith("FP"):
        return {"type": "number", "minimum": -_LARGEST_DOUBLE, "maximum": _LARGEST_DOUBLE}
    if arrow.startswith("timestamp"):
        return {"type": "string", "format": "date-time"}
    if arrow.startswith("date"):
        return {"type": "string", "format": "date"}
    if arrow.startswith("decimal"):
        return {}
    return {"type": "string"}
