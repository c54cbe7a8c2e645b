"""How names and values are written in SQL."""

from __future__ import annotations

from decimal import Decimal
from typing import Any


def column(name: str) -> str:
    """A column's (or table's) name, quoted.

    >>> print(column('a"b'))
    "a""b"
    """
    return '"' + name.replace('"', '""') + '"'


def value(given: Any) -> str:
    """A value as an SQL literal.

    >>> value("it's")
    "'it''s'"
    """
    if given is None:
        return "NULL"
    if isinstance(given, bool):
        return "TRUE" if given else "FALSE"
    if isinstance(given, int | float | Decimal):
        return str(given)
    return "'" + str(given).replace("'", "''") + "'"
