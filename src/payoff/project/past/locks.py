"""Locks apart from the project that they are a part of."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec.structs import replace

from payoff.base.errors import InvalidInput
from payoff.project import config
from payoff.project.config import EnvironmentSpec
from payoff.project.files import Reading
from payoff.project.locking import lock

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.records.finding import Finding
    from payoff.records.project import Environment


def locked(folder: Path, like: Environment) -> Environment | None:
    """The environment that the lock in a folder says, with the limits of another; None where the lock cannot be used."""
    spec = EnvironmentSpec(name=like.name, folder=".", line=0)
    found = lock.read(Reading(folder), [spec])
    if not found:
        return None
    return replace(found[0], folder=os.fspath(folder), memory_bytes=like.memory_bytes, threads=like.threads)


def asked(root: Path) -> tuple[EnvironmentSpec, ...]:
    """The environments that payoff.toml names, whatever is wrong with their locks or with other files."""
    reading = Reading(root)
    found = config.read(reading)
    if found is None:
        raise InvalidInput([each.as_error() for each in reading.findings if each.severity == "error"])
    return found.environments


def read(root: Path, spec: EnvironmentSpec) -> tuple[Environment | None, list[Finding]]:
    """An environment as its lock says it, and what is wrong with the lock."""
    reading = Reading(root)
    found = lock.read(reading, [spec])
    return (found[0] if found else None), reading.findings


def versions(file: Path) -> dict[str, str]:
    """Name -> version of everything that a lock has; nothing where there is none, or none that can be read."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        return {}
    found: dict[str, str] = {}
    for each in lock.parse(text).packages:
        found[each.name] = f"{found[each.name]}, {each.version}" if each.name in found else each.version
    return found
