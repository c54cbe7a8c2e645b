"""Small pieces of wording, what is taken for one, and how often what others cause is said."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable

# What a header Host may say, as a pattern: a name or an address, and a port; it may be empty (RFC 3986, 3.2.2).
HOST = rb"(?:[\w.~!$&'()*+,;=%-]*|\[[0-9A-Za-z:.%]+\])(?::\d*)?"
LINES, MINUTE = 10, 60.0  # that `Few` lets through, in seconds
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


class Few:
    """A budget of lines that clients can cause, each request one: so many a minute are written, so that nobody fills a disk with them."""

    def __init__(self) -> None:
        self._since = -MINUTE
        self._said = self._left = 0

    def line(self, text: str) -> str:
        """What is to be written: the line, after a minute with the number of those that were left out; empty where this one is."""
        if time.monotonic() - self._since >= MINUTE:
            if self._left:
                text += f" (and {self._left:,} lines more that were left out)"
            self._since, self._said, self._left = time.monotonic(), 0, 0
        self._said += 1
        if self._said <= LINES:
            return text
        self._left += 1
        return ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a logger that has this as a filter writes a line."""
        record.msg, record.args = self.line(record.getMessage()), ()
        return bool(record.msg)
