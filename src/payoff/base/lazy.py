"""Modules that are imported when they are first used.

For adapters whose cheap questions (where is it? has it changed?) are asked on every run, and whose library (a quarter of a second) only
when there is work.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
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
    """The first package that a module (of a package: its modules) would import later and that is not installed; None when all are. Nothing is imported for it."""
    inner = [each for name, each in sys.modules.items() if name.startswith(f"{module.__name__}.") and each is not None]
    named = (value for each in (module, *inner) for value in vars(each).values() if type(value) is Module)
    packages = (value.__dict__["_Module__module"].partition(".")[0] for value in named)
    return next((name for name in packages if importlib.util.find_spec(name) is None), None)
