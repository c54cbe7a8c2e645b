"""A plan in words: what `--dry-run` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from payoff.plan.stages import (
    Audit,
    Call,
    Check,
    Inline,
    Plan,
    Read,
    Refit,
    Score,
    SetAside,
    Split,
    Stage,
    Transform,
    TryOut,
    Value,
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from payoff.records.placement import Location, Placement


def line(stage: Stage) -> str:
    """What a stage does, in one line."""
    match stage:
        case Read():
            return f"read {stage.table} from its source, only the columns used"
        case Check():
            return f"check {stage.table} against its contract" + (f" in {_at(stage.at)}" if stage.at else "")
        case Transform():
            where = f" in {_at(stage.at.place)}" if stage.at and stage.at.place else ""
            return f"query {stage.step.name} ({stage.step.file}:{stage.step.line}){where}"
        case Inline():
            return f"query {stage.step.name} ({stage.step.file}:{stage.step.line}) as part of {' and '.join(stage.at.within)}"
        case Call():
            where = f"{stage.step.file}:{stage.step.line}"
            return f"run {stage.step.name} ({where}) in environment {stage.step.environment}"
        case Split():
            return f"split {stage.examples} into train and holdout"
        case Audit():
            return "search train and holdout for what a model must not know"
        case SetAside():
            return "set a part of train aside, to see there how far the model can be trusted"
        case Refit():
            return f"run {stage.step.name} once more, without what was set aside"
        case Score():
            return f"let {stage.step.name} predict the holdout: one look at it"
        case TryOut():
            return f"let the second {stage.step.name} predict what was set aside"
        case Value():
            return "decide and value: model, common solutions, perfect foresight"
        case Write():
            then = ", once the gates have passed" if stage.deferred else ""
            return f"write {stage.sink.table} to the sink {stage.sink.name} ({stage.sink.kind}){then}"
        case _:
            assert_never(stage)


def text(plan: Plan) -> str:
    """The whole plan, a line per stage: what it does, whether it runs, and why."""
    words = {"reuse": "unchanged", "run": "runs", "maybe": "may run"}
    rows = [(words[stage.state], line(stage), _because(stage.because)) for stage in plan.stages]
    return "\n".join(f"{state:<10} {what}{because}" for state, what, because in rows)


def _at(place: Location) -> str:
    return f"{place.dialect.title} at {place.address}"


def queries(places: Mapping[str, Placement], *, whole: bool) -> str:
    """Where the lazy steps run, and why those here are here; with `whole`, each one's SQL as it is sent."""
    lines: list[str] = []
    for each in places.values():
        here = f"on {each.cluster}" if each.cluster else "here"
        where = f"in {_at(each.place)}" if each.place else here + (f": {each.because}" if each.because else "")
        lines.append(f"{each.step} runs {where}" + (f", as part of {' and '.join(each.within)}" if each.within else ""))
        if whole and each.sql:
            lines += ["", *(f"    {row}" for row in each.sql.splitlines()), ""]
    return "\n".join(lines)


def placed(places: Mapping[str, Placement]) -> list[dict[str, Any]]:
    """The same as JSON."""
    return [
        {
            "step": each.step,
            "engine": each.engine,
            "place": each.place.address if each.place else None,
            "cluster": each.cluster or None,
            "zone": each.zone,
            "sql": each.sql,
            "tables": list(each.tables),
            "within": list(each.within),
            "because": each.because,
        }
        for each in places.values()
    ]


def document(plan: Plan) -> dict[str, Any]:
    """The plan as JSON."""
    return {
        "stages": [
            {
                "name": stage.name,
                "kind": type(stage).__name__.lower(),
                "state": stage.state,
                "because": list(stage.because),
                "needs": list(stage.needs),
                "does": line(stage),
            }
            for stage in plan.stages
        ],
        "parameters": plan.parameters,
    }


def _because(reasons: Iterable[str]) -> str:
    listed = list(reasons)
    if not listed:
        return ""
    shown = "; ".join(listed[:4]) + (f"; and {len(listed) - 4} more" if len(listed) > 4 else "")
    return f"  [{shown}]"
