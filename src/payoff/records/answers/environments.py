"""What `payoff environments` answers."""

from __future__ import annotations

from typing import Literal

import msgspec

from payoff.records.finding import Finding
from payoff.records.hybrids.environment import Kept


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """An environment that is there, and what has its lock: `environments` of the project as it is now, the newest `run` that had it (of `runs`), or a
    `hybrid` of two runs.
    """

    kept: Kept
    environments: tuple[str, ...] = ()
    run: str | None = None
    runs: int = 0
    hybrid: bool = False


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, the one used last first. `bytes` is what they take on the disk together; `lacking` names the project's environments that are not installed."""

    environments: tuple[Listed, ...]
    bytes: int
    lacking: tuple[str, ...] = ()


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """An environment of the project: its lock held against its pyproject.toml, and what is installed against the lock."""

    name: str
    folder: str
    lock: Literal["current", "stale", "missing", "unfit", "unknown"]
    installed: Literal["whole", "absent", "changed", "unknown"]


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """Every environment of the project, and what is wrong."""

    environments: tuple[Checked, ...]
    findings: tuple[Finding, ...]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A package whose version in a lock is another; empty: the package was not, or is not any more, in it."""

    package: str
    before: str
    after: str


class Locked(msgspec.Struct, frozen=True, kw_only=True):
    """A folder whose lock was made, and what changed in it."""

    folder: str
    environments: tuple[str, ...]
    packages: int
    changes: tuple[Change, ...] = ()


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed (with `done` false: what would be), and why each; `bytes` is what the others take on the disk. `held` are those in use that would go otherwise."""

    done: bool
    removed: tuple[Listed, ...]
    because: tuple[str, ...]
    held: tuple[str, ...]
    bytes: int
    mixes: int = 0


class EnvironmentsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `payoff environments QUESTION --json`: the one field that was asked for."""

    list: Listing | None = None
    check: Checks | None = None
    lock: tuple[Locked, ...] | None = None
    collect: Collected | None = None
