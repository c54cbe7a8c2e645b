"""The labels of a property: classification, and the custom properties residency, purposes, retention, lowering, depends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from payoff.base import text
from payoff.project.contracts.quality import Problem
from payoff.records.label import CLASSIFICATIONS, Classification, LabelSpec, Lowering

if TYPE_CHECKING:
    from collections.abc import Callable

    from payoff.project.contracts.column import Property

    Path_ = tuple[str | int, ...]

KEYS = ("residency", "purposes", "retention", "lowering", "depends")
ALIASES = {"restricted": "confidential", "pii": "personal"}
_OPERATORS: dict[str, tuple[str, ...]] = {
    "drop": (),
    "hash": ("key",),
    "mask": ("keep",),
    "generalise": ("width", "unit"),
    "aggregate": ("k",),
    "noise": ("epsilon", "low", "high", "key"),
}
_SHARED = ("operator", "steward", "why", "to", "residency", "purposes", "retention")
_UNITS = ("hour", "day", "week", "month", "quarter", "year")
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def classification(prop: Property) -> Classification | None:
    """The property's classification; one that nobody knows is an error, for it would protect nothing."""
    said = prop.prop.get("classification")
    if said is None:
        return None
    name = ALIASES.get(str(said).lower(), str(said).lower())
    if name not in CLASSIFICATIONS:
        expected = text.did_you_mean(name, CLASSIFICATIONS)
        prop.wrong(f"there is no classification {said!r}", expected, "classification")
        return "secret"
    return name


def read(prop: Property, name: str, value: Any, path: Path_) -> None:
    """Note one custom property in the property's changes."""
    try:
        prop.changes[name] = _lowering(value, prop.line) if name == "lowering" else _READERS[name](value)
    except _Unreadable as error:
        what = f"{name} of {prop.name} {error.what}"
        prop.notes.find(Problem("PO-P075", "error", what, error.expected, "value"), path)


class _Unreadable(ValueError):
    def __init__(self, what: str, expected: str) -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected


def _names(value: Any) -> tuple[str, ...]:
    names = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(each, str) and each for each in names):
        raise _Unreadable("is no list of names", 'a name, or a list of names, as ["EU"]')
    return tuple(names)


def _days(value: Any) -> int:
    match = re.fullmatch(r"([0-9]{1,6}) ?(day|week|month|year)s?", str(value))
    days = value if isinstance(value, int) else int(match[1]) * _DAYS[match[2]] if match else 0
    if isinstance(value, bool) or days < 1:
        raise _Unreadable("is no time", 'a number of days, or as "90 days", "2 years"')
    return days


def _depends(value: Any) -> tuple[tuple[str, str], ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(each, str) and "." in each.strip(".") for each in names):
        raise _Unreadable("names no columns", "a list of TABLE.COLUMN, the inputs that this column is made of")
    pairs = (each.partition(".") for each in names)
    return tuple((table, column) for table, _, column in pairs)


_READERS: dict[str, Callable[[Any], Any]] = {
    "residency": _names,
    "purposes": _names,
    "retention": _days,
    "depends": _depends,
}


def _lowering(value: Any, line: int) -> Lowering:
    """A reviewed operator, with everything that it needs."""
    if not isinstance(value, dict) or value.get("operator") not in _OPERATORS:
        found = value.get("operator") if isinstance(value, dict) else value
        raise _Unreadable("names no operator", f"operator: {text.did_you_mean(str(found), _OPERATORS)}")
    operator = value["operator"]
    known = (*_SHARED, *_OPERATORS[operator])
    for key in value:
        if key not in known:
            raise _Unreadable(f"has the key {key!r}", text.did_you_mean(str(key), known))
    if not isinstance(value.get("steward"), str) or not value["steward"].strip():
        raise _Unreadable("names no steward", "steward: the name of who reviewed it and stands for it")
    return Lowering(
        operator=operator,
        steward=value["steward"],
        why=str(value.get("why", "")),
        to=_target(value),
        line=line,
        **_arguments(operator, value),
    )


def _target(value: dict[str, Any]) -> LabelSpec:
    said = str(value.get("to", "")).lower()
    name = ALIASES.get(said, said)
    if name not in CLASSIFICATIONS:
        raise _Unreadable("does not say to what", f"to: {text.did_you_mean(name, CLASSIFICATIONS)}")
    return LabelSpec(
        classification=name,
        residency=_names(value["residency"]) if "residency" in value else None,
        purposes=_names(value["purposes"]) if "purposes" in value else None,
        retention=_days(value["retention"]) if "retention" in value else None,
    )


def _number(value: dict[str, Any], key: str, least: float) -> float:
    found = value.get(key)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not found > least:
        raise _Unreadable(f"lacks {key}", f"{key}: a number above {least:g}")
    return float(found)


def _key(value: dict[str, Any]) -> str:
    match = _REFERENCE.fullmatch(str(value.get("key", "")))
    if match is None:
        raise _Unreadable("names no key", "key: ${NAME}, an environment variable that holds the secret")
    return match[1]


def _arguments(operator: str, value: dict[str, Any]) -> dict[str, Any]:
    if operator == "hash":
        return {"key": _key(value)}
    if operator == "mask":
        keep = value.get("keep", 0)
        if isinstance(keep, bool) or not isinstance(keep, int) or not 0 <= keep <= 4:
            raise _Unreadable("keeps too much", "keep: at most 4 characters")
        return {"keep": keep}
    if operator == "generalise":
        if ("width" in value) == ("unit" in value):
            raise _Unreadable("says neither width nor unit", f"width: a number, or unit: one of {', '.join(_UNITS)}")
        if "unit" in value and value["unit"] not in _UNITS:
            raise _Unreadable("has no such unit", f"unit: {text.did_you_mean(str(value['unit']), _UNITS)}")
        return {"unit": value["unit"]} if "unit" in value else {"width": _number(value, "width", 0)}
    if operator == "aggregate":
        if isinstance(value.get("k"), bool) or not isinstance(value.get("k"), int) or value["k"] < 2:
            raise _Unreadable("lacks k", "k: the fewest rows of a group, 2 or more")
        return {"k": value["k"]}
    if operator == "noise":
        low, high = _number(value, "low", -float("inf")), _number(value, "high", -float("inf"))
        if not low < high:
            raise _Unreadable("has no range", "low and high: the bounds to which values are cut")
        return {"epsilon": _number(value, "epsilon", 0), "low": low, "high": high, "key": _key(value)}
    return {}
