"""`payoff environments lock`: make the locks say what pyproject.toml asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.errors import UserError, Where
from payoff.flows.environments import known
from payoff.flows.opening import root_of
from payoff.project.past import locks
from payoff.records.answers.environments import Change, Locked
from payoff.wiring import assemble

if TYPE_CHECKING:
    from collections.abc import Sequence


def lock(
    project: str | None, name: str | None = None, *, upgrade: bool = False, packages: Sequence[str] = ()
) -> tuple[Locked, ...]:
    """Lock each folder of the project's environments (or of one) once; what is locked already stays, unless newer versions are asked for."""
    root = root_of(project)
    folders: dict[str, list[str]] = {}
    for spec in known.specs(root, name):
        folders.setdefault(spec.folder, []).append(spec.name)
    mixer = assemble.mixer(root)
    answer = []
    for folder, names in folders.items():
        file = root / folder / "uv.lock"
        before = locks.versions(file)
        reason = mixer.lock(root / folder, upgrade=upgrade, packages=packages)
        if reason:
            raise UserError(
                f"environment {names[0]} cannot be locked: {reason}",
                code="PO-X025",
                expected="dependencies that go together, for every Python that requires-python allows",
                remedy=f"uv lock --project {folder} shows the whole story; mend pyproject.toml, then lock again",
                where=Where((root / folder / "pyproject.toml").relative_to(root)),
            )
        after = locks.versions(file)
        changes = tuple(
            Change(package=each, before=before.get(each, ""), after=after.get(each, ""))
            for each in sorted(before.keys() | after.keys())
            if before.get(each) != after.get(each)
        )
        answer.append(Locked(folder=folder, environments=tuple(names), packages=len(after), changes=changes))
    return tuple(answer)
