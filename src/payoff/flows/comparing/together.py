"""Packages that change only together: what one of them in B's version needs of the others, as uv says."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from payoff.project.locking import lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from payoff.flows.comparing.rebuilding import Rebuilt
    from payoff.records.hybrids.attribution import Cause, Factor
    from payoff.records.project import Environment

    Make = Callable[[Environment, dict[str, str]], Environment | str]
    Edges = Mapping[str, frozenset[str]]

_MOST = 15  # packages that hang together, of which it is asked which can be left out


def with_needs(a: Rebuilt, b: Rebuilt, found: tuple[Factor, ...], make: Make) -> tuple[Factor, ...]:
    """The factors; a package that cannot be switched alone says which others it needs.

    Only packages that depend on each other, in the lock of either run, can need each other. Whether they do is asked of who makes environments:
    `make(A's environment, name -> version)` answers a text where these versions do not go together.
    """
    needs: dict[str, tuple[str, ...]] = {}
    for name in sorted({each.id.split(":")[1] for each in found if each.kind == "package"}):
        ours = a.project.environment(name)
        if ours is None:
            continue
        ours = replace(ours, folder=str(a.root / ours.folder))
        prefix = f"package:{name}:"
        changed = {each.id.removeprefix(prefix): each.b for each in found if each.id.startswith(prefix)}
        near = _among(_neighbours(a, b, name), changed)
        resolves = functools.partial(_resolves, make, ours, changed)
        for package in changed:
            if near.get(package) and not resolves([package]):
                group = _group(package, near, resolves)
                needs[prefix + package] = tuple(sorted(prefix + each for each in group - {package}))
    return tuple(replace(each, needs=(*each.needs, *needs[each.id])) if each.id in needs else each for each in found)


def _resolves(make: Make, ours: Environment, changed: Mapping[str, str], names: Iterable[str]) -> bool:
    return not isinstance(make(ours, {name: changed[name] for name in names}), str)


def _group(package: str, near: Edges, resolves: Callable[[Iterable[str]], bool]) -> frozenset[str]:
    """The package with as few others as it takes; alone where nothing helps."""
    group = _reach(package, near)
    if not resolves(group):
        return frozenset({package})
    for other in sorted(group - {package}) if len(group) <= _MOST else ():
        if resolves(group - {other}):
            group -= {other}
    return group


def headed(cause: Cause, b: Rebuilt, found: tuple[Factor, ...]) -> Cause:
    """A cause of several packages by the name of the one that depends on all others, where there is one."""
    factors = [each for each in found if each.kind == "package" and each.name in cause.names]
    environments = {each.id.split(":")[1] for each in factors}
    if len(factors) != len(cause.names) or len(environments) != 1:
        return cause
    edges = _edges(b, environments.pop())
    names = {each.id.rpartition(":")[2]: each for each in factors}
    heads = [name for name in names if names.keys() <= _reach(name, edges)]
    if len(heads) != 1:
        return cause
    head = names[heads[0]]
    others = ", ".join(each.name for each in factors if each is not head)
    return replace(cause, name=head.name, a=head.a, b=head.b, reason=f"it changes only together with {others}")


def _reach(name: str, edges: Edges) -> frozenset[str]:
    found, open_ = set(), [name]
    while open_:
        each = open_.pop()
        if each not in found:
            found.add(each)
            open_ += edges.get(each, ())
    return frozenset(found)


def _neighbours(a: Rebuilt, b: Rebuilt, environment: str) -> Edges:
    """Package -> those that depend on it, or that it depends on, in either lock."""
    found: dict[str, set[str]] = {}
    for side in (a, b):
        for name, others in _edges(side, environment).items():
            for other in others:
                found.setdefault(name, set()).add(other)
                found.setdefault(other, set()).add(name)
    return {name: frozenset(others) for name, others in found.items()}


def _among(edges: Edges, names: Iterable[str]) -> Edges:
    kept = frozenset(names)
    return {name: others & kept for name, others in edges.items() if name in kept}


def _edges(side: Rebuilt, environment: str) -> Edges:
    """Package -> what it depends on, as the lock says."""
    known = side.project.environment(environment)
    if known is None:
        return {}
    text = (side.root / Path(known.folder) / "uv.lock").read_text(encoding="utf-8")
    found: dict[str, frozenset[str]] = {}
    for package in lock.parse(text).packages:
        listed = [*package.dependencies, *(each for extra in package.optional_dependencies.values() for each in extra)]
        found[package.name] = found.get(package.name, frozenset()) | {each.name for each in listed}
    return found
