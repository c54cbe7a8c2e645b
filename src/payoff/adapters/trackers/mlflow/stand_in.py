"""Stands in for `payoff` where a logged model is loaded and Payoff is not installed.

Shipped as `payoff.py` beside the project's own files, which import it. Where Payoff is installed, that is used.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from typing import Any

__all__ = ["__version__", "as_of", "columns", "facts", "log_metric", "step"]
__version__ = "0"


def step(function: Any = None, /, **settings: Any) -> Any:
    """The function as it is."""
    return function if function is not None else lambda decorated: decorated


class columns:  # noqa: N801 - the public name
    """In an annotation: the columns of an input."""

    def __init__(self, *names: str) -> None:
        self.names = names


class as_of:  # noqa: N801 - the public name
    """A declaration that nobody reads here."""

    def __init__(self, rows: str, /, *, at: str, **tables: Any) -> None:
        self.rows, self.at, self.tables = rows, at, tables


class facts:  # noqa: N801 - the public name
    """Part of such a declaration."""

    def __init__(self, **said: Any) -> None:
        self.said = said


def log_metric(name: str, value: float) -> None:
    """Nobody listens here."""


def _give_way() -> None:
    """Become the installed package, if there is one anywhere else on the path."""
    places = [place for place in sys.path if os.path.isfile(os.path.join(place, "payoff", "__init__.py"))]
    found = importlib.machinery.PathFinder.find_spec("payoff", places) if places else None
    if found is not None and found.loader is not None:
        real = importlib.util.module_from_spec(found)
        sys.modules["payoff"] = real
        found.loader.exec_module(real)


if __name__ == "payoff":
    _give_way()
