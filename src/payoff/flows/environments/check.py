"""`payoff environments check`: locks held against pyproject.toml, installed packages against locks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payoff.flows.environments import known
from payoff.flows.opening import root_of
from payoff.project.past import locks
from payoff.records.answers.environments import Checked, Checks
from payoff.records.finding import Finding, Place

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.ports.environments.keeper import Keeper
    from payoff.project.config import EnvironmentSpec
    from payoff.records.hybrids.environment import Inspection

_STATES: dict[str, Any] = {"PO-P021": "missing", "PO-P023": "stale"}


def check(project: str | None, name: str | None = None) -> Checks:
    """Every environment of the project (or one); nothing is made, installed or changed."""
    root = root_of(project)
    keeper = known.keeper(root)
    states, findings = [], []
    for spec in known.specs(root, name):
        state, found = _check(root, keeper, spec)
        states.append(state)
        findings += [each for each in found if each not in findings]
    return Checks(environments=tuple(states), findings=tuple(findings))


def _check(root: Path, keeper: Keeper, spec: EnvironmentSpec) -> tuple[Checked, list[Finding]]:
    environment, findings = locks.read(root, spec)
    wrong = [each for each in findings if each.severity == "error"]
    if environment is None or wrong:
        state: Any = _STATES.get(wrong[0].code, "unfit") if wrong else "unfit"
        return Checked(name=spec.name, folder=spec.folder, lock=state, installed="unknown"), findings
    found = keeper.inspect(environment)
    findings += _findings(spec, environment.digest, found)
    return Checked(name=spec.name, folder=spec.folder, lock=found.lock, installed=found.installed), findings


def _findings(spec: EnvironmentSpec, digest: str, found: Inspection) -> list[Finding]:
    prefix = "" if spec.folder == "." else f"{spec.folder}/"
    place = Place(f"{prefix}uv.lock")
    said = []
    if found.lock == "stale":
        said.append(
            Finding(
                code="PO-X001",
                what=f"the lock of environment {spec.name} does not match its pyproject.toml",
                where=place,
                expected="a uv.lock made from the pyproject.toml beside it",
                try_=f"payoff environments lock {spec.name}, then commit {place.file}",
            )
        )
    if found.lock == "unknown":
        said.append(
            Finding(
                code="PO-X023",
                severity="warning",
                what=f"whether the lock of environment {spec.name} is current could not be worked out: {found.said}",
                where=place,
                expected="a package index that can be reached, or what the lock needs in uv's cache",
                try_="payoff environments check, with a network",
            )
        )
    if found.installed == "changed":
        said.append(
            Finding(
                code="PO-X024",
                what=f"what is installed for environment {spec.name} is not what its lock says: {found.said}",
                where=Place(f".payoff/environments/{digest}"),
                expected="packages that nobody changed since they were installed",
                try_=f"rm -r .payoff/environments/{digest}; the next run installs it again",
            )
        )
    return said
