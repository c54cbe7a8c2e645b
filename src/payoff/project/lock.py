"""Environments: pyproject.toml and uv.lock, read without running uv."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base import hashing, text
from payoff.project import toml
from payoff.records.finding import Place
from payoff.records.project import Environment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from payoff.project.config import EnvironmentSpec
    from payoff.project.files import Reading
    from payoff.project.toml import Document

SHOWN = 5
_PLAIN = re.compile(r"(>=|<=|<|>|==|!=|~=)[0-9]+(\.[0-9]+)*(\.\*)?")
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*(@[^;]*)?\(?([^;@)]*)\)?\s*(;.*)?")


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed of a uv.lock: the packages, and what the project's own entry says was asked for."""

    packages: tuple[dict[str, Any], ...] = ()
    root: dict[str, Any] = {}
    python: str = ""
    wrong: str = ""
    line: int = 0


def read(reading: Reading, specs: Iterable[EnvironmentSpec]) -> tuple[Environment, ...]:
    """The environments; a missing or unfit lock is a finding."""
    checked: set[str] = set()
    found = []
    for spec in specs:
        environment = _environment(reading, spec, checked)
        if environment is not None:
            found.append(environment)
    return tuple(found)


def _environment(reading: Reading, spec: EnvironmentSpec, checked: set[str]) -> Environment | None:
    prefix = "" if spec.folder == "." else f"{spec.folder}/"
    project_file, lock_file = f"{prefix}pyproject.toml", f"{prefix}uv.lock"
    lock_command = "uv lock" if spec.folder == "." else f'uv lock --project "{spec.folder}"'
    document = _pyproject(reading, project_file, spec)
    if document is None:
        return None
    content = reading.text(lock_file)
    if content is None:
        if lock_file in reading.absent:
            reading.error(
                "PO-P021",
                f"the environment {spec.name} has no lock: {lock_file} is not there",
                Place(project_file),
                expected="a uv.lock beside pyproject.toml, in git",
                remedy=lock_command,
            )
        return None
    lock = reading.remembered("lock", reading.digest(lock_file), Lock, lambda: parse(content))
    if lock.wrong:
        reading.error(
            "PO-P022",
            f"{lock_file} cannot be used: {lock.wrong}",
            Place(lock_file, lock.line),
            expected="a lock as uv writes it",
            remedy=f"rm {lock_file} && {lock_command}" if lock.line else lock_command,
        )
        return None
    if lock_file not in checked:
        checked.add(lock_file)
        if problems := list(_Match(document, lock).problems()):
            more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
            reading.error(
                "PO-P023",
                f"{lock_file} does not match {project_file}: {'; '.join(what for _, what in problems[:SHOWN])}{more}",
                problems[0][0],
                expected="a lock made from this pyproject.toml",
                remedy=lock_command,
            )
    return _locked(reading, spec, document, lock, prefix)


def _pyproject(reading: Reading, file: str, spec: EnvironmentSpec) -> Document | None:
    document = toml.read(reading, file)
    if document is None:
        if file in reading.absent:
            reading.error(
                "PO-P020",
                f"the environment {spec.name} has no pyproject.toml: {file} is not there",
                Place("payoff.toml", spec.line),
                expected="a pyproject.toml with [project] dependencies",
                remedy="uv init --bare" if spec.folder == "." else f'uv init --bare "{spec.folder}"',
            )
        return None
    if not isinstance(document.table.get("project"), dict):
        reading.error(
            "PO-P020",
            f"{file} has no [project]",
            Place(file),
            expected="[project] with name, version, requires-python and dependencies",
            remedy=f"add [project] to {file}, then: uv lock",
        )
        return None
    return document


def _locked(reading: Reading, spec: EnvironmentSpec, document: Document, lock: Lock, prefix: str) -> Environment | None:
    for kind, asked, known in (
        ("extra", spec.extras, lock.root.get("optional-dependencies", {})),
        ("dependency group", spec.groups, lock.root.get("dev-dependencies", {})),
    ):
        ours = {normalised(name) for name in known} | _declared(document, kind)
        for name in asked:
            if normalised(name) not in ours:
                reading.error(
                    "PO-P024",
                    f"the environment {spec.name} asks for the {kind} {name!r}, which {document.file} does not have",
                    Place("payoff.toml", spec.line),
                    expected=text.did_you_mean(name, ours),
                    remedy=f"change it in payoff.toml:{spec.line}, then: payoff check",
                )
                return None
    packages = reachable(lock, spec.groups, spec.extras)
    pinned = reading.text(f"{prefix}.python-version")
    python = pinned.split("#")[0].strip() if pinned and pinned.strip() else lock.python
    versions: dict[str, str] = {}
    for package in sorted(packages, key=lambda each: (each["name"], each.get("version", ""))):
        name, version = package["name"], package.get("version", "(dynamic)")
        versions[name] = f"{versions[name]}, {version}" if name in versions else version
    return Environment(
        name=spec.name,
        folder=spec.folder,
        python=python,
        packages=versions,
        digest=hashing.of_json([lock.python, python, sorted(package["digest"] for package in packages)]),
        groups=spec.groups,
        extras=spec.extras,
        memory_bytes=spec.memory_bytes,
        threads=spec.threads,
    )


def _declared(document: Document, kind: str) -> set[str]:
    project = document.table["project"]
    names = project.get("optional-dependencies", {}) if kind == "extra" else document.table.get("dependency-groups", {})
    return {normalised(name) for name in names}


def normalised(name: str) -> str:
    """A package's name as packaging tools compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse(content: str) -> Lock:
    """What is needed of a uv.lock; `wrong` says why it cannot be used."""
    try:
        table = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        conflict = re.search(r"^(<<<<<<<|=======|>>>>>>>)", content, re.MULTILINE)
        why = "it holds the marks of a merge conflict" if conflict else "it is not valid TOML"
        return Lock(wrong=why, line=int(at[1]) if at else 0)
    entries = table.get("package", [])
    roots = [each for each in entries if each.get("source", {}).get("virtual") == "."]
    roots += [each for each in entries if each.get("source", {}).get("editable") == "."]
    if table.get("version") != 1 or not roots:
        why = "it has no entry for the project itself" if table.get("version") == 1 else "its format is unknown"
        return Lock(wrong=why)
    keep = ("name", "version", "source", "dependencies", "optional-dependencies")
    return Lock(
        packages=tuple(
            {**{key: each[key] for key in keep if key in each}, "digest": _identity(each)}
            for each in entries
            if each is not roots[0]
        ),
        root={
            key: roots[0][key]
            for key in ("dependencies", "optional-dependencies", "dev-dependencies", "metadata")
            if key in roots[0]
        },
        python=table.get("requires-python", ""),
    )


def _identity(package: dict[str, Any]) -> str:
    """The digest of what a package is and where it comes from; a mirror's address does not matter where there are hashes."""
    files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
    hashes = sorted(each["hash"] for each in files if "hash" in each)
    source = package.get("source", {})
    if "registry" in source and hashes:
        source = {"registry": ""}
    edges = [package.get("dependencies"), package.get("optional-dependencies")]
    return hashing.of_json([package["name"], package.get("version"), source, hashes, edges])


def reachable(lock: Lock, groups: Iterable[str], extras: Iterable[str]) -> list[dict[str, Any]]:
    """The packages that are installed for the plain dependencies with these groups and extras (on any platform)."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for package in lock.packages:
        by_name.setdefault(package["name"], []).append(package)
    todo = list(lock.root.get("dependencies", ()))
    for wanted, table in ((groups, "dev-dependencies"), (extras, "optional-dependencies")):
        known = {normalised(name): each for name, each in lock.root.get(table, {}).items()}
        for name in wanted:
            todo += known.get(normalised(name), ())
    done: set[tuple[str, str, str]] = set()
    found: dict[int, dict[str, Any]] = {}
    while todo:
        edge = todo.pop()
        for package in by_name.get(edge["name"], ()):
            if edge.get("version", package.get("version")) != package.get("version"):
                continue
            for extra in ("", *edge.get("extra", ())):
                key = (package["name"], package.get("version", ""), extra)
                if key in done:
                    continue
                done.add(key)
                found[id(package)] = package
                todo += (
                    package.get("optional-dependencies", {}).get(extra, ())
                    if extra
                    else package.get("dependencies", ())
                )
    return list(found.values())


class _Match:
    """Compares what pyproject.toml asks for with what the lock says was asked for, as far as that is plain."""

    def __init__(self, document: Document, lock: Lock) -> None:
        self.document = document
        self.project = document.table["project"]
        self.lock = lock
        self.metadata = lock.root.get("metadata", {})
        self.sources = {normalised(n) for n in document.table.get("tool", {}).get("uv", {}).get("sources", {})}

    def problems(self) -> Iterable[tuple[Place, str]]:
        """Each place in pyproject.toml that the lock knows nothing of, and what it is."""
        asked = self.project.get("requires-python")
        if (
            isinstance(asked, str)
            and _plain(asked)
            and _plain(self.lock.python)
            and _set(asked) != _set(self.lock.python)
        ):
            yield self.document.place(("project", "requires-python")), "requires-python is another"
        listed = self.metadata.get("requires-dist", ())
        plain = [each for each in listed if "extra ==" not in each.get("marker", "")]
        dynamic = self.project.get("dynamic", ())
        if "dependencies" not in dynamic:
            yield from self._compare(("project", "dependencies"), self.project.get("dependencies", ()), plain)
        if "optional-dependencies" not in dynamic:
            for name, requirements in self.project.get("optional-dependencies", {}).items():
                marks = (f"extra == '{name}'", f"extra == '{normalised(name)}'")
                theirs = [each for each in listed if any(mark in each.get("marker", "") for mark in marks)]
                yield from self._compare(("project", "optional-dependencies", name), requirements, theirs)
        groups = self.metadata.get("requires-dev", {})
        for name in self.document.table.get("dependency-groups", {}):
            theirs = groups.get(name, groups.get(normalised(name), ()))
            yield from self._compare(("dependency-groups", name), self._group(name, ()), theirs)

    def _group(self, name: str, seen: tuple[str, ...]) -> list[str]:
        """The requirements of a group, those of the groups it includes among them."""
        groups = {normalised(each): value for each, value in self.document.table.get("dependency-groups", {}).items()}
        found: list[str] = []
        for each in groups.get(normalised(name), ()):
            if isinstance(each, str):
                found.append(each)
            elif isinstance(each, dict) and normalised(name) not in seen:
                found += self._group(str(each.get("include-group", "")), (*seen, normalised(name)))
        return found

    def _compare(
        self, path: tuple[str, ...], ours: Iterable[Any], theirs: Iterable[dict[str, Any]]
    ) -> Iterable[tuple[Place, str]]:
        ours = [each for each in ours if isinstance(each, str)]
        known: dict[str, set[frozenset[str]]] = {}
        for each in theirs:
            known.setdefault(each["name"], set()).add(_set(each.get("specifier", "")))
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
