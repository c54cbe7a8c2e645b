"""Finds adapters and gates by entry point.

Reading the whole machine's package metadata costs tens of milliseconds, so Payoff's own entry points are read from its own
metadata first; a name that is not there is looked for among all installed packages.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from payoff.base import lazy
from payoff.base.errors import Bug, UserError, Where
from payoff.base.text import did_you_mean

if TYPE_CHECKING:
    from types import ModuleType


@functools.cache
def own() -> dict[str, dict[str, str]]:
    """Payoff's own entry points: group -> name -> module."""
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            if name.startswith("payoff-") and name.endswith(".dist-info"):
                try:
                    with open(os.path.join(folder, name, "entry_points.txt"), encoding="utf-8") as stream:
                        return _parse(stream.read())
                except OSError:
                    continue
    return {}


def names(group: str) -> dict[str, str]:
    """All entry points of a group, of every installed package: name -> module."""
    return {**_installed(group, tuple(sys.path)), **own().get(group, {})}


@functools.cache
def _installed(group: str, _path: tuple[str, ...]) -> dict[str, str]:
    """Those of all packages; as long as Python looks for packages in the same folders, they are read once."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow to import, and only needed for foreign names

    return {point.name: point.value for point in entry_points(group=group)}


def group_of(name: str, groups: tuple[str, ...]) -> str:
    """The first of several groups that has a name; the first of all when none has it."""
    known = (group for group in groups if name in own().get(group, {}))
    return next(known, None) or next((group for group in groups if name in names(group)), groups[0])


def load(group: str, name: str, where: Where | None = None, also: str = "") -> ModuleType:
    """The module behind a name; an unknown name or a missing library is the user's to mend. `also`: a group whose names would do as well."""
    value = own().get(group, {}).get(name) or names(group).get(name)
    if value is None:
        if not names(group):
            raise Bug(
                f"no entry points of group {group} are installed",
                code="PO-W001",
                expected="an installed payoff distribution",
                remedy="install payoff again: uv pip install payoff",
            )
        raise UserError(
            f"{name!r} is not a known kind of {group.partition('.')[2]}",
            code="PO-W002",
            expected=did_you_mean(name, {**names(group), **(names(also) if also else {})}),
            remedy="write one of these as kind (or install the package that brings yours), then: payoff check",
            where=where,
        )
    try:
        module = importlib.import_module(value)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("payoff"):
            raise
        raise _not_installed(name, error.name or "", where) from error
    absent = lazy.missing(module)
    if absent is not None:
        raise _not_installed(name, absent, where)
    return module


def _not_installed(name: str, package: str, where: Where | None) -> UserError:
    return UserError(
        f"{name!r} needs the Python package {package}, which is not installed",
        code="PO-W003",
        expected=f"{package} beside payoff",
        remedy=f'uv pip install "payoff[{name}]"',
        where=where,
    )


def _parse(text: str) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("["):
            current = groups.setdefault(line.strip("[]"), {})
        elif "=" in line:
            name, _, value = line.partition("=")
            current[name.strip()] = value.strip()
    return groups


def attribute(module: ModuleType, name: str) -> Any:
    """What every adapter module must have."""
    try:
        return getattr(module, name)
    except AttributeError as error:
        raise Bug(
            f"{module.__name__} has no {name}",
            code="PO-W004",
            expected="an adapter module with Options, CAPABILITIES and connect",
            remedy="see docs/architecture.md, 'Adding an adapter'",
        ) from error
