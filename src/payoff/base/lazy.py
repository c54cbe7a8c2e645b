"""Modules that are imported when they are first used, or not at all.

For adapters whose cheap questions (where is it? has it changed?) are asked on every run, and whose library (a quarter of a second) only
when there is work.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType, ModuleType


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
    # A copy: another thread may be importing meanwhile.
    known = sys.modules.copy()
    inner = [each for name, each in known.items() if name.startswith(f"{module.__name__}.") and each is not None]
    named = (value for each in (module, *inner) for value in vars(each).values() if type(value) is Module)
    packages = (value.__dict__["_Module__module"].partition(".")[0] for value in named)
    return next((name for name in packages if importlib.util.find_spec(name) is None), None)


class KeptOut:
    """A finder (see `sys.meta_path`) by which some modules do not find a package: not there for them, as ever for all others.

    pyarrow imports pandas, half a second, as soon as it sees a list of Python, to ask whether it is a column of it. In a process of ours
    none ever is.
    """

    def __init__(self, package: str, asking: Sequence[str]) -> None:
        self.package = package
        self.asking = frozenset(asking)

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Refuse an import by one of `asking`; whoever else asks, and who only asks where it is, goes on to the next finder."""
        if name != self.package:
            return
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - who asks is told nowhere else
        importing = False
        while frame is not None and str(frame.f_globals.get("__name__")).startswith(("importlib", "_frozen_importlib")):
            importing = importing or frame.f_code.co_name == "_find_and_load"
            frame = frame.f_back
        if importing and frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in self.asking:
            raise ModuleNotFoundError(f"{name} is not imported here", name=name)


def keep_out(package: str, asking: Sequence[str]) -> None:
    """Let a package not be imported by the packages `asking`, in this process, unless it already is."""
    if not any(isinstance(each, KeptOut) and each.package == package for each in sys.meta_path):
        sys.meta_path.insert(0, KeptOut(package, asking))
