"""From a section of payoff.toml to an adapter's `Options`: unknown keys, wrong types, `${ENV_VAR}` references."""

from __future__ import annotations

import dataclasses
import os
import re
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base.errors import UserError
from payoff.base.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payoff.base.errors import Where

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def build(options: type[Any], section: Mapping[str, Any], *, title: str, where: Where) -> Any:
    """An `Options` object made of a section's keys; every mistake is an error with file and line."""
    known = {field.name: field for field in dataclasses.fields(options)}
    for key in section:
        if key not in known:
            raise UserError(
                f"unknown key {key!r} in {title}",
                code="PO-W010",
                expected=did_you_mean(key, known),
                remedy=f"rename or remove {key!r}, then payoff check",
                where=where,
            )
    values = {key: _resolve(value, title=title, key=key, where=where) for key, value in section.items()}
    missing = [
        name
        for name, field in known.items()
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UserError(
            f"{title} has no {missing[0]}",
            code="PO-W011",
            expected=f"the keys {', '.join(missing)}",
            remedy=f"add {missing[0]} = ... to {title}, then payoff check",
            where=where,
        )
    try:
        return msgspec.convert(values, options)
    except msgspec.ValidationError as error:
        raise UserError(
            f"a value in {title} has the wrong type",
            code="PO-W012",
            expected=str(error),
            remedy=f"correct the value in {title}, then payoff check",
            where=where,
        ) from None


def _resolve(value: Any, *, title: str, key: str, where: Where) -> Any:
    if isinstance(value, dict):
        return {k: _resolve(v, title=title, key=k, where=where) for k, v in value.items()}
    if isinstance(value, list):
        return [_resolve(v, title=title, key=key, where=where) for v in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name not in os.environ:
            raise UserError(
                f"{key} in {title} refers to the environment variable {name}, which is not set",
                code="PO-W013",
                expected=f"{name} in the environment",
                remedy=f"export {name}=... and run the command again",
                where=where,
            )
        return os.environ[name]

    return _REFERENCE.sub(replace, value)
