"""Small pieces of wording."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

DIALECT = "duckdb"  # of every query and expression that a project has, whichever engine runs it; sqlglot's name for it


def nearest(name: str, names: Iterable[str]) -> str:
    """The name most like `name`, or an empty text when none is near.

    >>> nearest("cutomer", ["customers", "usage"])
    'customers'
    """
    import difflib  # noqa: PLC0415 - 5 ms that only an error needs

    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return found[0] if found else ""


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`one of a, b, c (nearest: b)`: the valid names, bounded, and the nearest one."""
    known = sorted(names)
    shown = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
    near = nearest(name, known)
    return f"one of {shown or '(none)'}" + (f" (nearest: {near})" if near else "")


def count(number: int, noun: str) -> str:
    """`1 row`, `2 rows`, `1,234 rows`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
