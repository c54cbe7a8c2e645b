"""A run's record -> the project as it was, in a folder of its own, with the tables it had."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from payoff import project as projects
from payoff.base import hashing
from payoff.base.errors import InvalidInput, UserError
from payoff.flows.comparing.place import Place
from payoff.plan import graph
from payoff.project.charter_keys import FILE
from payoff.project.past import charter, others
from payoff.project.past import folder as past_folder
from payoff.records.artifact import Artifact
from payoff.records.project import Project, SourceSpec
from payoff.records.run import RunRecord
from payoff.reproduction.factors import Side, switches

if TYPE_CHECKING:
    from collections.abc import Iterable

# What a run that was stopped from outside, or never begun, says: there is nothing to do again.
_STOPPED = {"PO-R010"}


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """What the laboratory executes: a project in a folder, the tables in the place of its sources, every step's parameters.

    `variables`: environment variables for the steps (an empty one is not set); `apart`: those of them that no remembered result is known to have been
    made under, so that only results made under the same are taken over. `looks`: how many looks at the holdout its intervals are made
    for. `at`: the time that freshness is held against. `only`: the steps to make; none: everything up to the verdict. `identity`: two experiments
    with the same one are the same. `run`: the run (or the two) that it comes from, for messages.
    """

    identity: str
    project: Project
    tables: dict[str, Artifact]
    parameters: dict[str, dict[str, Any]] = {}
    variables: dict[str, str] = {}
    apart: dict[str, str] = {}
    looks: int = 1
    at: str = ""
    only: tuple[str, ...] = ()
    run: str = ""


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """A run with its project as it was. `tree` is git's digest of the files; `notes` say what is not as it was."""

    record: RunRecord
    root: Path
    project: Project
    tree: str
    tables: dict[str, Artifact]
    notes: tuple[str, ...] = ()

    @property
    def experiment(self) -> Experiment:
        """The run itself, to be executed again."""
        record = self.record
        return Experiment(
            identity=identity(
                self.project, (self.tree,), self.tables, parameters(self.project, record.parameters), variables(record)
            ),
            project=self.project,
            tables=self.tables,
            parameters=parameters(self.project, record.parameters),
            variables=variables(record),
            looks=max(1, record.looks),
            at=record.started,
            only=only(record),
            run=record.run,
        )


def rebuild(place: Place, record: RunRecord) -> Rebuilt:
    """The project of a run as it was: its files from git, its tables from the store; nothing is read from its sources.

    Raises `UserError` where something of it is gone, or where it never got as far as to be made of anything.
    """
    _refuse_unbegun(record)
    folder = place.folder(record.run)
    written = past_folder.write(place.root, record.git, folder, record.run)
    past_folder.remember(place.root, folder)
    try:
        project = projects.load(folder, record.git)
    except InvalidInput as error:
        raise UserError(
            f"the files of run {record.run} are no project any more: {error.parts[0].what}",
            code="PO-Q005",
            expected="all that the run read to be under git (a lock or a contract that git ignores is not kept)",
            remedy="git check-ignore -v uv.lock contracts/* says what git leaves out; put it under git for the runs to come",
        ) from error
    if project.id != record.project:
        raise UserError(
            f"run {record.run} is one of project {record.project}, its files say {project.id}",
            code="PO-Q006",
            expected="a run of this project",
            remedy="payoff runs lists this project's",
        )
    notes = [f"{name} led out of the project and was left out" for name in written.left_out]
    project, tables, said = with_tables(project, record)
    return Rebuilt(record=record, root=folder, project=project, tree=written.tree, tables=tables, notes=(*notes, *said))


def sides(place: Place, a: Rebuilt, b: Rebuilt) -> tuple[Side, Side]:
    """What the factors of two rebuilt runs are read from."""
    groups = others.differing(place.root, (a.project, a.tree), (b.project, b.tree))

    def side(built: Rebuilt, number: int) -> Side:
        files = {
            name.removeprefix("file:"): others.said(pairs, number)
            for name, pairs in groups.items()
            if name.startswith("file:")
        }
        keys = charter.leaves((built.root / FILE).read_text(encoding="utf-8"))
        return Side(record=built.record, project=built.project, charter=keys, files=files)

    return side(a, 0), side(b, 1)


def _refuse_unbegun(record: RunRecord) -> None:
    stopped = any(finding.code in _STOPPED for finding in record.errors)
    if stopped or not (record.steps or record.stages):
        why = "was stopped before its end" if stopped else "was refused before anything was done"
        raise UserError(
            f"run {record.run} {why}: there is nothing to do again",
            code="PO-Q007",
            expected="a run that went on until its verdict, or until a step failed",
            remedy="payoff runs, and name another",
        )


def with_tables(project: Project, record: RunRecord) -> tuple[Project, dict[str, Artifact], list[str]]:
    """The project with its tables in the place of its sources, and with what was made in a database in the place of what made it."""
    there = {outcome.name for outcome in record.steps if "at" in outcome.extra}
    frozen = {name for name in there if name in record.tables and project.source(name) is None}
    kept = tuple(step for step in project.steps if step.name not in there)
    made = tuple(SourceSpec(table=name, kind="snapshot", options={}) for name in sorted(frozen))
    project = msgspec.structs.replace(
        project, steps=kept, sources=(*project.sources, *made), sinks=(), push="never", lineage={}
    )
    tables = {source.table: record.tables[source.table] for source in project.sources if source.table in record.tables}
    notes = [
        f"{name} was made where its data is: its table is taken as it was, not made again" for name in sorted(frozen)
    ]
    return project, tables, notes


def parameters(project: Project, given: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Every step's parameters: those of a run where the step has them, else the defaults of its code."""
    return {
        step.name: {name: given.get(step.name, {}).get(name, value) for name, value in step.parameters.items()}
        for step in project.steps
    }


def variables(record: RunRecord) -> dict[str, str]:
    """The environment variables that results hang on, as the run had them; those that were not set are not here."""
    return dict(switches(record))


def only(record: RunRecord) -> tuple[str, ...]:
    """The steps that a run was asked for, where it was not to go to the verdict."""
    stages = {outcome.name for outcome in record.stages}
    if "value" in stages:
        return ()
    return tuple(outcome.name for outcome in record.steps) or ((graph.TRAIN,) if "split" in stages else ())


def identity(
    project: Project,
    trees: Iterable[str],
    tables: dict[str, Artifact],
    given: dict[str, dict[str, Any]],
    switched: dict[str, str],
) -> str:
    """What tells experiments apart: files, settings of steps, tables, parameters, environments and variables."""
    steps = [
        [step.name, step.code, step.seed, step.deterministic, step.threads, step.environment] for step in project.steps
    ]
    environments = [[each.name, each.digest, each.python] for each in project.environments]
    content = {name: each.id for name, each in tables.items()}
    return hashing.of_json([sorted(trees), project.files, steps, environments, content, given, switched])
