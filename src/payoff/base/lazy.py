"""Modules that are imported when they are first used.

For adapters whose cheap questions (where is it? has it changed?) are asked on every run, and whose library (a quarter of a second) only
when there is work.
"""

from __future__ import annotations

import importlib
from typing import Any


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
