"""The environment of a lock that was made, not written by the user."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec.structs import replace

from payoff.project import lock
from payoff.project.config import EnvironmentSpec
from payoff.project.files import Reading

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.records.project import Environment


def locked(folder: Path, like: Environment) -> Environment | None:
    """The environment that the lock in a folder says, with the limits of another; None where the lock cannot be used."""
    spec = EnvironmentSpec(name=like.name, folder=".", line=0)
    found = lock.read(Reading(folder), [spec])
    if not found:
        return None
    return replace(found[0], folder=os.fspath(folder), memory_bytes=like.memory_bytes, threads=like.threads)
