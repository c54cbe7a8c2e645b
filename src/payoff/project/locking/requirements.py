"""What pyproject.toml asks for, against what a lock was made from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from payoff.project.toml import Document
    from payoff.records.finding import Place

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*(@[^;]*)?\(?([^;@)]*)\)?\s*(;.*)?")
_PLAIN = re.compile(r"(>=|<=|<|>|==|!=|~=)[0-9]+(\.[0-9]+)*(\.\*)?")


class Requirement(msgspec.Struct, frozen=True):
    """A requirement of the project itself, as it was when the lock was made."""

    name: str
    specifier: str = ""
    marker: str = ""


class Metadata(msgspec.Struct, frozen=True, rename="kebab"):
    """What was asked for when the lock was made."""

    requires_dist: tuple[Requirement, ...] = ()
    requires_dev: dict[str, tuple[Requirement, ...]] = {}


def normalised(name: str) -> str:
    """A package's name as packaging tools compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def at(document: Document, *path: str) -> dict[str, Any]:
    """The table at a path of pyproject.toml; empty when something else is there (uv says so)."""
    value: Any = document.table
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


class Match:
    """Compares what pyproject.toml asks for with what the lock says was asked for, as far as that is plain."""

    def __init__(self, document: Document, python: str, metadata: Metadata) -> None:
        self.document = document
        self.project = document.table["project"]
        self.python = python
        self.metadata = metadata
        self.sources = {normalised(name) for name in at(document, "tool", "uv", "sources")}

    def problems(self) -> Iterable[tuple[Place, str]]:
        """Each place in pyproject.toml that the lock knows nothing of, and what it is."""
        asked = self.project.get("requires-python")
        if isinstance(asked, str) and _plain(asked) and _plain(self.python) and _set(asked) != _set(self.python):
            yield self.document.place(("project", "requires-python")), "requires-python is another"
        listed = self.metadata.requires_dist
        plain = [each for each in listed if "extra ==" not in each.marker]
        dynamic = _items(self.project.get("dynamic"))
        if "dependencies" not in dynamic:
            yield from self._compare(("project", "dependencies"), _items(self.project.get("dependencies")), plain)
        if "optional-dependencies" not in dynamic:
            for name, requirements in at(self.document, "project", "optional-dependencies").items():
                marks = (f"extra == '{name}'", f"extra == '{normalised(name)}'")
                theirs = [each for each in listed if any(mark in each.marker for mark in marks)]
                yield from self._compare(("project", "optional-dependencies", name), _items(requirements), theirs)
        groups = self.metadata.requires_dev
        for name in at(self.document, "dependency-groups"):
            locked = groups.get(name, groups.get(normalised(name), ()))
            yield from self._compare(("dependency-groups", name), self._group(name, ()), locked)

    def _group(self, name: str, seen: tuple[str, ...]) -> list[str]:
        """The requirements of a group, those of the groups it includes among them."""
        groups = {normalised(each): value for each, value in at(self.document, "dependency-groups").items()}
        found: list[str] = []
        for each in _items(groups.get(normalised(name))):
            if isinstance(each, str):
                found.append(each)
            elif isinstance(each, dict) and normalised(name) not in seen:
                found += self._group(str(each.get("include-group", "")), (*seen, normalised(name)))
        return found

    def _compare(
        self, path: tuple[str, ...], ours: Iterable[Any], theirs: Iterable[Requirement]
    ) -> Iterable[tuple[Place, str]]:
        ours = [each for each in ours if isinstance(each, str)]
        known: dict[str, set[frozenset[str]]] = {}
        for locked in theirs:
            known.setdefault(locked.name, set()).add(_set(locked.specifier))
        asked: dict[str, list[tuple[int, frozenset[str], bool]]] = {}
        for index, each in enumerate(ours):
            match = _REQUIREMENT.fullmatch(each)
            if match:
                plain = not match[3] and not match[5] and normalised(match[1]) not in self.sources
                asked.setdefault(normalised(match[1]), []).append((index, _set(match[4]), plain))
        for name, entries in asked.items():
            place = self.document.place((*path, entries[0][0]))
            if name not in known:
                yield place, f"{name} is not in the lock"
            elif all(plain for _, _, plain in entries) and _differ({each for _, each, _ in entries}, known[name]):
                yield place, f"another version of {name} is asked for"
        for name in sorted(known.keys() - asked.keys()):
            yield self.document.place(path), f"{name} is in the lock, but no longer asked for"


def _set(specifier: str) -> frozenset[str]:
    return frozenset(re.sub(r"\s", "", part) for part in specifier.split(",") if part.strip())


def _differ(ours: set[frozenset[str]], theirs: set[frozenset[str]]) -> bool:
    """True when two sets of specifiers differ, and are spelled so plainly that they cannot mean the same."""
    plain = all(_PLAIN.fullmatch(part) for specifier in ours | theirs for part in specifier)
    return plain and ours != theirs


def _plain(specifier: str) -> bool:
    return all(re.fullmatch(r"(>=|<=|<|>)[0-9.]+", part) for part in _set(specifier))
