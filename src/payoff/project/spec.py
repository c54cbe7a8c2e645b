"""What may stand in a TOML file, said once: the same table checks the file and makes its JSON schema."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, assert_never

import msgspec

from payoff.base import text

if TYPE_CHECKING:
    from payoff.project.files import Reading
    from payoff.project.toml import Document, Path

Kind = Literal["text", "integer", "number", "boolean", "date", "money", "scalar", "action", "texts", "numbers"]

_SAYS: dict[Kind, str] = {
    "text": 'text in quotes, as "customers"',
    "integer": "a whole number, as 40",
    "number": "a number, as 0.25",
    "boolean": "true or false",
    "date": "a date, as 2026-06-01",
    "money": 'a number, an amount as "5 EUR", or an SQL expression in quotes',
    "scalar": "text, a whole number, or true/false",
    "action": "text in quotes, or a number, as 40",
    "texts": 'a list of texts, as ["train"]',
    "numbers": "a list of numbers, as [30, 45, 60]",
}
_JSON: dict[Kind, dict[str, Any]] = {
    "text": {"type": "string", "minLength": 1},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string"},
    "money": {"type": ["number", "string"]},
    "scalar": {"type": ["string", "integer", "boolean"]},
    "action": {"type": ["string", "number"]},
    "texts": {"type": "array", "items": {"type": "string"}},
    "numbers": {"type": "array", "items": {"type": "number"}},
}


class Key(msgspec.Struct, frozen=True):
    """One key: its kind, what it is for, and which values it takes.

    `low` and `high` are the bounds of a number, outside of the range themselves unless `closed`.
    """

    kind: Kind
    says: str
    required: bool = False
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    closed: bool = False
    pattern: str = ""
    pattern_says: str = ""


class Section(msgspec.Struct, frozen=True):
    """A table: its keys by name, the shape of all other keys (none: unknown keys are errors), or `free` (anything goes)."""

    keys: dict[str, Key | Section]
    says: str
    required: bool = False
    other: Key | Section | None = None
    free: bool = False


def check(section: Section, document: Document, reading: Reading) -> None:
    """Hold a document against its specification; everything wrong becomes a finding."""
    _Check(document, reading).section(section, document.table, ())


class _Check:
    def __init__(self, document: Document, reading: Reading) -> None:
        self.document = document
        self.reading = reading

    def section(self, section: Section, table: dict[str, Any], path: Path) -> None:
        for name, value in table.items():
            here = (*path, name)
            known = section.keys.get(name, section.other)
            if known is not None:
                self.value(known, value, here)
            elif not section.free:
                self._unknown(section, name, path)
        for name, known in section.keys.items():
            if known.required and name not in table:
                self._missing(known, name, path)

    def value(self, known: Key | Section, value: Any, path: Path) -> None:
        if isinstance(known, Section):
            if isinstance(value, dict):
                self.section(known, value, path)
            else:
                self._wrong_type(path, f"a section, as [{dotted(path)}]", value)
        elif not fits(known.kind, value):
            self._wrong_type(path, _SAYS[known.kind], value)
        elif wrong := unfit(known, value):
            self.reading.error(
                "PO-P009",
                f"{dotted(path)} has a value it cannot have",
                self.document.place(path),
                expected=wrong,
                remedy=self._edit(path, "change the value"),
            )

    def _unknown(self, section: Section, name: str, path: Path) -> None:
        near = text.nearest(name, section.keys)
        edit = f"rename it to {near}" if near else "remove it"
        self.reading.error(
            "PO-P006",
            f"unknown key {name!r} in {_part(path)}",
            self.document.place((*path, name)),
            expected=text.did_you_mean(name, section.keys),
            remedy=self._edit((*path, name), edit),
        )

    def _missing(self, known: Key | Section, name: str, path: Path) -> None:
        says = _SAYS[known.kind] if isinstance(known, Key) else "a section"
        self.reading.error(
            "PO-P007",
            f"{dotted((*path, name))} is missing",
            self.document.place(path),
            expected=f"{name}: {known.says} ({says})",
            remedy=f"add {name} to {_part(path)} in {self.document.file}, then: payoff check",
        )

    def _wrong_type(self, path: Path, expected: str, value: Any) -> None:
        self.reading.error(
            "PO-P008",
            f"{dotted(path)} is {type_says(value)}",
            self.document.place(path),
            expected=expected,
            remedy=self._edit(path, "change the value"),
        )

    def _edit(self, path: Path, edit: str) -> str:
        return f"{edit} in {self.document.place(path).file}:{self.document.line(path)}, then: payoff check"


def dotted(path: Path) -> str:
    """`a.b[0].c`: a key path as one would write it."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            name = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"'
            shown += f".{name}" if shown else name
    return shown


def _part(path: Path) -> str:
    return f"[{dotted(path)}]" if path else "the file"


def type_says(value: Any) -> str:
    """The type of a TOML value in words (never the value)."""
    for kind, says in (
        (bool, "true/false"),
        (str, "text"),
        (int, "a whole number"),
        ((Decimal, float), "a number"),
        (dict, "a section"),
        (list, "a list"),
    ):
        if isinstance(value, kind):
            return says
    return "a date or time"


def fits(kind: Kind, value: Any) -> bool:
    """True when a TOML value is of the kind."""
    number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    match kind:
        case "text":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and number
        case "number":
            return number
        case "boolean":
            return isinstance(value, bool)
        case "date":
            return isinstance(value, (str, dt.date))
        case "money" | "action":
            return number or isinstance(value, str)
        case "scalar":
            return isinstance(value, (str, bool, int))
        case "texts":
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        case "numbers":
            return isinstance(value, list) and all(fits("number", item) for item in value)
        case _:
            assert_never(kind)


def unfit(key: Key, value: Any) -> str:
    """What the value should be instead, or nothing when it is fine."""
    if isinstance(value, Decimal) and not value.is_finite():
        return "a finite number"
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool) and not _in_range(key, value):
        return _range_says(key)
    if isinstance(value, str) and key.kind in ("text", "money", "action") and not value.strip():
        return "some text"
    if isinstance(value, str) and key.choices and value not in key.choices:
        return text.did_you_mean(value, key.choices)
    if isinstance(value, str) and key.kind == "date" and not is_date(value):
        return _SAYS["date"]
    if isinstance(value, str) and key.pattern and not re.fullmatch(key.pattern, value):
        return key.pattern_says
    return ""


def is_date(value: str) -> bool:
    """True for an ISO date or date and time."""
    try:
        dt.datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _in_range(key: Key, value: Decimal | int) -> bool:
    low, high = key.low, key.high
    if key.closed:
        return (low is None or value >= low) and (high is None or value <= high)
    return (low is None or value > low) and (high is None or value < high)


def _range_says(key: Key) -> str:
    if key.low is not None and key.high is not None:
        between = f"between {key.low:g} and {key.high:g}"
        return f"a number {between}" + ("" if key.closed else ", not these themselves")
    if key.low is not None:
        return f"a number of {key.low:g} or more" if key.closed else f"a number greater than {key.low:g}"
    return f"a number of {key.high:g} or less" if key.closed else f"a number less than {key.high:g}"


def json_schema(section: Section, title: str) -> dict[str, Any]:
    """The JSON schema (draft 7) of a file."""
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": title, **_schema(section)}


def _schema(known: Key | Section) -> dict[str, Any]:
    if isinstance(known, Section):
        schema: dict[str, Any] = {"type": "object", "description": known.says}
        if known.keys:
            schema["properties"] = {name: _schema(each) for name, each in known.keys.items()}
        if required := [name for name, each in known.keys.items() if each.required]:
            schema["required"] = required
        if not known.free:
            schema["additionalProperties"] = _schema(known.other) if known.other is not None else False
        return schema
    schema = {**_JSON[known.kind], "description": known.says}
    if known.choices:
        schema["enum"] = list(known.choices)
    if known.pattern:
        schema["pattern"] = f"^(?:{known.pattern})$"
    edge = "" if known.closed else "exclusive"
    for word, bound in (("minimum", known.low), ("maximum", known.high)):
        if bound is not None:
            schema[f"exclusive{word.capitalize()}" if edge else word] = bound
    return schema
