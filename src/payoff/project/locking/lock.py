"""Environments: pyproject.toml and uv.lock, read without running uv."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base import hashing, text
from payoff.project import toml
from payoff.project.locking.requirements import Match, Metadata, at, normalised
from payoff.records.finding import Place
from payoff.records.project import Environment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from payoff.project.config import EnvironmentSpec
    from payoff.project.files import Reading
    from payoff.project.toml import Document

SHOWN = 5


class Edge(msgspec.Struct, frozen=True):
    """A dependency of a package on another."""

    name: str
    version: str = ""
    marker: str = ""
    extra: tuple[str, ...] = ()


class Archive(msgspec.Struct, frozen=True):
    """A file that a package comes in."""

    hash: str = ""


class Package(msgspec.Struct, frozen=True, rename="kebab"):
    """A `[[package]]` of a lock; `digest` says what it is and where it comes from."""

    name: str
    version: str = ""
    source: dict[str, Any] = {}
    dependencies: tuple[Edge, ...] = ()
    optional_dependencies: dict[str, tuple[Edge, ...]] = {}
    dev_dependencies: dict[str, tuple[Edge, ...]] = {}
    metadata: Metadata = Metadata()
    sdist: Archive | None = None
    wheels: tuple[Archive, ...] = ()
    digest: str = ""


class LockFile(msgspec.Struct, frozen=True, rename="kebab"):
    """A uv.lock as uv writes it, as far as it is needed."""

    version: int
    requires_python: str = ""
    package: tuple[Package, ...] = ()


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a lock: the packages, and the project's own entry. `wrong` says why it cannot be used."""

    packages: tuple[Package, ...] = ()
    root: Package = Package("")
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
        if problems := list(Match(document, lock.python, lock.root.metadata).problems()):
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
        ("extra", spec.extras, lock.root.optional_dependencies),
        ("dependency group", spec.groups, lock.root.dev_dependencies),
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
    for package in sorted(packages, key=lambda each: (each.name, each.version)):
        name, version = package.name, package.version or "(dynamic)"
        versions[name] = f"{versions[name]}, {version}" if name in versions else version
    return Environment(
        name=spec.name,
        folder=spec.folder,
        python=python,
        packages=versions,
        digest=hashing.of_json([lock.python, python, sorted(package.digest for package in packages)]),
        groups=spec.groups,
        extras=spec.extras,
        memory_bytes=spec.memory_bytes,
        threads=spec.threads,
    )


def _declared(document: Document, kind: str) -> set[str]:
    names = at(document, "project", "optional-dependencies") if kind == "extra" else at(document, "dependency-groups")
    return {normalised(name) for name in names}


def parse(content: str) -> Lock:
    """What is needed of a uv.lock; `wrong` says why it cannot be used."""
    try:
        table = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        conflict = re.search(r"^(<<<<<<<|=======|>>>>>>>)", content, re.MULTILINE)
        why = "it holds the marks of a merge conflict" if conflict else "it is not valid TOML"
        return Lock(wrong=why, line=int(at[1]) if at else 0)
    try:
        file = msgspec.convert(table, LockFile)
    except msgspec.ValidationError:
        return Lock(wrong="an entry is not as uv writes it")
    roots = [each for kind in ("virtual", "editable") for each in file.package if each.source.get(kind) == "."]
    if file.version != 1 or not roots:
        return Lock(wrong="it has no entry for the project itself" if file.version == 1 else "its format is unknown")
    return Lock(
        packages=tuple(_brief(each, _identity(each)) for each in file.package if each is not roots[0]),
        root=_brief(roots[0], ""),
        python=file.requires_python,
    )


def _brief(package: Package, digest: str) -> Package:
    """A package without what its digest stands for."""
    return msgspec.structs.replace(package, source={}, sdist=None, wheels=(), digest=digest)


def _identity(package: Package) -> str:
    """The digest of what a package is and where it comes from; a mirror's address does not matter where there are hashes."""
    archives = [*package.wheels, *([package.sdist] if package.sdist is not None else [])]
    hashes = sorted(each.hash for each in archives if each.hash)
    source = {"registry": ""} if "registry" in package.source and hashes else package.source
    edges = msgspec.to_builtins([package.dependencies, package.optional_dependencies])
    return hashing.of_json([package.name, package.version, source, hashes, edges])


def reachable(lock: Lock, groups: Iterable[str], extras: Iterable[str]) -> list[Package]:
    """The packages that are installed for the plain dependencies with these groups and extras (on any platform)."""
    by_name: dict[str, list[Package]] = {}
    for package in lock.packages:
        by_name.setdefault(package.name, []).append(package)
    todo = list(lock.root.dependencies)
    for wanted, table in ((groups, lock.root.dev_dependencies), (extras, lock.root.optional_dependencies)):
        known = {normalised(name): edges for name, edges in table.items()}
        for name in wanted:
            todo += known.get(normalised(name), ())
    done: set[tuple[str, str]] = set()
    found: dict[str, Package] = {}
    while todo:
        edge = todo.pop()
        for package in by_name.get(edge.name, ()):
            if edge.version and edge.version != package.version:
                continue
            for extra in ("", *edge.extra):
                key = (package.digest, extra)
                if key not in done:
                    done.add(key)
                    found[package.digest] = package
                    todo += package.optional_dependencies.get(extra, ()) if extra else package.dependencies
    return list(found.values())
