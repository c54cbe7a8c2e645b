"""Modules that are imported when they are first used.

For adapters whose cheap questions (where is it? has it changed?) are asked on every run, and whose library (a quarter of a second) only
when there is work.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType


class Module:
    """Stands for a module until one of its names is used.

    >>> json = Module("json")
    >>> json.dumps([1])
    '[1]'
    """

    def __init__(self, name: str) -> None:
        self.__module = name

    def __getattr__(self, name: str) -> Any:
        found = getattr(importlib.import_module(self.__module), name)
        self.__dict__[name] = found
        return found


def missing(module: ModuleType) -> str | None:
    """The first package that a module would import later and that is not installed; None when all are. Nothing is imported for it."""
    names = (
        each.__dict__["_Module__module"].partition(".")[0] for each in vars(module).values() if type(each) is Module
    )
    return next((name for name in names if importlib.util.find_spec(name) is None), None)
