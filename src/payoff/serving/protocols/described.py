"""What the server and the model say of themselves, in the words of the Open Inference Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payoff import __version__

if TYPE_CHECKING:
    from payoff.records.serving.served import Served

_DATATYPES = {
    "bool": "BOOL", "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64", "uint8": "UINT8", "uint16": "UINT16",
    "uint32": "UINT32", "uint64": "UINT64", "halffloat": "FP16", "float": "FP32", "double": "FP64",
}  # fmt: skip
NAME = "payoff"
EXTENSIONS = ["binary_tensor_data"]


def server() -> dict[str, Any]:
    """Server metadata."""
    return {"name": NAME, "version": __version__, "extensions": EXTENSIONS}


def model(served: Served) -> dict[str, Any]:
    """Model metadata: what it takes and what it answers."""
    return {
        "name": served.name,
        "versions": [served.version],
        "platform": f"payoff_{served.framework or 'python'}",
        "inputs": [{"name": each.name, "datatype": datatype(each.type), "shape": [-1]} for each in served.features],
        "outputs": [{"name": each.name, "datatype": "FP64", "shape": [-1]} for each in served.outputs],
    }


def datatype(arrow: str) -> str:
    """The protocol's name of an Arrow type; whatever is not a number or a truth value is text.

    >>> datatype("int64"), datatype("timestamp[us, tz=UTC]")
    ('INT64', 'BYTES')
    """
    return _DATATYPES.get(arrow, "BYTES")
