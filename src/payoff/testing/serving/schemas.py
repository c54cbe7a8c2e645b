"""What https://github.com/kserve/open-inference-protocol (inference_rest.md) asks of answers, as JSON schemas."""

from __future__ import annotations

from typing import Any

from payoff.testing.serving.values import DATATYPES

_TEXTS = {"type": "array", "items": {"type": "string"}}
_TENSOR: dict[str, Any] = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"enum": list(DATATYPES)},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": -1}},
        "parameters": {"type": "object"},
    },
}
_ANSWERED = {
    **_TENSOR,
    "properties": {**_TENSOR["properties"], "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}}},
}
SERVER: dict[str, Any] = {
    "type": "object",
    "required": ["name", "version", "extensions"],
    "properties": {"name": {"type": "string"}, "version": {"type": "string"}, "extensions": _TEXTS},
}
MODEL: dict[str, Any] = {
    "type": "object",
    "required": ["name", "platform", "inputs", "outputs"],
    "properties": {
        "name": {"type": "string"},
        "versions": _TEXTS,
        "platform": {"type": "string"},
        "inputs": {"type": "array", "items": _TENSOR},
        "outputs": {"type": "array", "items": _TENSOR},
    },
}
INFER: dict[str, Any] = {
    "type": "object",
    "required": ["model_name", "outputs"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "outputs": {"type": "array", "items": _ANSWERED},
    },
}
ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "minLength": 1}},
}
