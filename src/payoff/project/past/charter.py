"""A charter with some of its keys as another has them."""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def splice(a: str, b: str, keys: Iterable[str]) -> str:
    """The text of charter A with the values that B has at these keys (`payoff.offer.churned`); a key that B does not have is taken out."""
    ours, theirs = tomllib.loads(a), tomllib.loads(b)
    for key in sorted(keys):
        _put(ours, theirs, _path(key, ours, theirs))
    return text(ours)


def leaves(text: str) -> dict[str, Any]:
    """Every key of a charter's text with its value, by its whole name: `payoff.offer.churned`."""
    found: dict[str, Any] = {}

    def walk(prefix: str, table: Mapping[str, Any]) -> None:
        for name, value in table.items():
            if isinstance(value, dict):
                walk(f"{prefix}{name}.", value)
            else:
                found[f"{prefix}{name}"] = value

    walk("", tomllib.loads(text))
    return found


def _path(key: str, *documents: Mapping[str, Any]) -> list[str]:
    """The names on the way to a key; a name may have dots in it where a document has it so."""
    parts, path = key.split("."), []
    here: list[Any] = list(documents)
    while parts:
        size = next(
            (
                n
                for n in range(len(parts), 0, -1)
                if any(isinstance(d, dict) and ".".join(parts[:n]) in d for d in here)
            ),
            1,
        )
        name = ".".join(parts[:size])
        path.append(name)
        here = [d.get(name) for d in here if isinstance(d, dict)]
        parts = parts[size:]
    return path


def _put(ours: dict[str, Any], theirs: Mapping[str, Any], path: list[str]) -> None:
    *way, last = path
    value: Any = theirs
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    here = ours
    for name in way:
        if not isinstance(here.get(name), dict):
            if value is None:
                return
            here[name] = {}
        here = here[name]
    if value is None:
        here.pop(last, None)
    else:
        here[last] = value


def text(document: Mapping[str, Any]) -> str:
    """A document as TOML: a section for each table at its top, everything in it on one line.

    >>> print(text({"a": {"b": 1, "c d": {"e": [1.5, "x"]}}}))
    [a]
    b = 1
    "c d" = { e = [1.5, "x"] }
    <BLANKLINE>
    """
    plain = [f"{_key(name)} = {_value(value)}" for name, value in document.items() if not isinstance(value, dict)]
    sections = [
        "\n".join([f"[{_key(name)}]", *(f"{_key(key)} = {_value(each)}" for key, each in value.items())])
        for name, value in document.items()
        if isinstance(value, dict)
    ]
    return "\n".join([*plain, *sections]) + "\n"


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else json.dumps(name, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
