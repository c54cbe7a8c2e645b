"""What is known of the environments of a project."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from payoff.base.errors import UserError
from payoff.base.text import did_you_mean
from payoff.flows.comparing.place import FOLDER
from payoff.project.past import locks
from payoff.records.answers.environments import Listed
from payoff.wiring import assemble

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from payoff.flows.opening import Past
    from payoff.ports.environments.keeper import Keeper
    from payoff.project.config import EnvironmentSpec
    from payoff.records.hybrids.environment import Kept
    from payoff.records.project import Environment

MIXES = os.path.join(FOLDER, "environments")
_MOST_RUNS = 200


def keeper(root: Path) -> Keeper:
    """What keeps the environments of the project in a folder."""
    executor = assemble.executor(root)
    if not hasattr(executor, "kept"):
        raise UserError(
            "the project's executor keeps no environments here",
            code="PO-X021",
            expected="an executor that keeps them on this machine",
            remedy="ask where the environments are made: docs/where-steps-run.md",
        )
    return cast("Keeper", executor)


def specs(root: Path, name: str | None = None) -> tuple[EnvironmentSpec, ...]:
    """The project's environments, or the one of that name."""
    found = locks.asked(root)
    chosen = tuple(each for each in found if name in (None, each.name))
    if not chosen:
        raise UserError(
            f"the project has no environment {name!r}",
            code="PO-X022",
            expected=did_you_mean(name or "", [each.name for each in found]),
            remedy="name one of these, or add [environments.NAME] to payoff.toml",
        )
    return chosen


def environments(root: Path) -> list[Environment]:
    """The project's environments whose locks can be read."""
    return [each for each, _ in (locks.read(root, spec) for spec in specs(root)) if each is not None]


def listed(past: Past, kept: Sequence[Kept]) -> list[Listed]:
    """What has the lock of each: the project, runs, or a hybrid of two."""
    named: dict[str, list[str]] = {}
    for each in environments(past.root):
        named.setdefault(each.digest, []).append(each.name)
    runs: dict[str, list[str]] = {}
    if any(each.digest not in named for each in kept):
        for run, digest in _used(past):
            runs.setdefault(digest, []).append(run)
    laboratory = os.path.join(os.fspath(past.root), FOLDER, "")
    return [
        Listed(
            kept=each,
            environments=tuple(named.get(each.digest, ())),
            run=runs[each.digest][0] if each.digest in runs else None,
            runs=len(runs.get(each.digest, ())),
            hybrid=each.folder.startswith(laboratory) and each.digest not in runs,
        )
        for each in kept
    ]


def _used(past: Past) -> list[tuple[str, str]]:
    """Run and lock, the newest run first."""
    ledger = past.kit.ledger
    names = [each.run for each in ledger.read(past.id, limit=_MOST_RUNS).summaries if each.status != "unfinished"]
    records = (ledger.read(past.id, name).entries[-1].record for name in names)
    return [(record.run, used.digest) for record in records for used in record.environments]
