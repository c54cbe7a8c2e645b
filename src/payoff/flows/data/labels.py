"""Labels before a run: nothing is read, and no step runs, while a column would go where it may not be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from payoff.base.errors import PayoffError
from payoff.execute.context import Context
from payoff.plan.stages import Inline, Transform
from payoff.ports.observer import silent
from payoff.records.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payoff.execute.governing import Facts
    from payoff.flows.opening import Opened
    from payoff.plan.stages import Plan
    from payoff.ports.kit import Kit
    from payoff.records.answers.request import RunRequest
    from payoff.records.finding import Finding
    from payoff.records.placement import Placement
    from payoff.records.project import Project
    from payoff.records.run import RunRecord


def look(opened: Opened, plan: Plan, state: State, request: RunRequest) -> tuple[Context | None, PayoffError | None]:
    """What is known of the run's queries before it, and why it may not begin; both None for a project that restricts nothing."""
    if not restricted(opened.project, opened.kit):
        return None, None
    from payoff.execute import ahead, governing  # bring sqlglot, and few projects come to this

    context = Context(opened.project, plan, opened.kit, state, run="", tell=silent, system={})
    try:
        ahead.look(context, request.only)
        governing.refuse(governing.findings(opened.project, facts_of(context), request.only))
    except PayoffError as error:
        return context, error
    return context, None


def context_of(project: Project, kit: Kit, plan: Plan) -> Context:
    """What is known of a project's queries without a run."""
    return Context(project, plan, kit, State(), run="", tell=silent, system={})


def found(context: Context, places: Mapping[str, Placement]) -> list[Finding]:
    """Everything that labels forbid, for `payoff check`; `places` say where lazy steps would run."""
    from payoff.execute import ahead, governing

    ahead.look(context)
    return governing.findings(context.project, facts_of(context, places))


def budgets(project: Project) -> list[Finding]:
    """What is wrong with budgets of epsilon, for `payoff check`."""
    if not any(each.operator == "noise" for contract in project.contracts for each in contract.applied.values()):
        return []
    from payoff.data.labels import epsilon

    return list(epsilon.findings(project.contracts))


def facts_of(context: Context, places: Mapping[str, Placement] | None = None) -> Facts:
    """What the check of labels needs to know. Where lazy steps run is said by the plan, or by `places`."""
    from payoff.execute.governing import Facts

    home = context.project.zone
    pushed = {
        stage.step.name: stage.at
        for stage in context.plan.stages
        if isinstance(stage, Transform | Inline) and stage.at is not None
    }
    there = places or pushed
    elsewhere = {name: each.zone or home for name, each in there.items() if each.place is not None}
    return Facts(schemas=context.schemas, compiled=context.compiled, elsewhere=elsewhere, given=context.given)


def kept(project: Project, record: RunRecord, seen: Context | None) -> RunRecord:
    """The record with the labels of its tables' columns: what is kept of them goes by these, too, when contracts no longer speak of a column."""
    given = seen.given if seen is not None else {}
    spoken = [column.label for contract in project.contracts for column in contract.columns]
    if not given and not any(
        each.retention
        or each.residency
        or each.purposes
        or (each.classification or "public") not in ("public", "internal")
        for each in (*spoken, project.labels)
    ):
        return record
    from payoff.execute import governing  # brings sqlglot, which such a run had

    return replace(record, labels=governing.lasting(project, record, given))


def restricted(project: Project, kit: Kit) -> bool:
    """True when some rule could forbid something; most projects have none, and pay nothing."""
    if any(kit.capable(source.table, "labels") for source in project.sources):
        return True  # they may bring labels along
    if any(zone.clearance != "secret" for zone in project.zones) or any(sink.clearance for sink in project.sinks):
        return True
    default = project.labels
    if default.residency is not None or default.purposes is not None or default.classification == "secret":
        return True
    return any(column.restricted for contract in project.contracts for column in contract.columns)
