"""The screen of `payoff reproduce`: the verdict, what is not the same, the numbers, how noise was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.text import count
from payoff.cli.render.amounts import amount, duration, figure
from payoff.cli.render.run import fold, table

if TYPE_CHECKING:
    from payoff.records.answers.reproduce import Figure, Reproduced

_SHOWN = 12
_SAYS = {
    "equal": "other bytes, the same made of it",
    "varies": "varies from execution to execution",
    "differs": "differs",
}


def exit_code(answer: Reproduced) -> int:
    """0 when the same came out, to the last bit or within noise; 1 when not."""
    return int(answer.verdict == "differs")


def text(answer: Reproduced) -> str:
    """The whole screen, plain Unicode without colour."""
    parts = [_head(answer), _stages(answer), _figures(answer), _cost(answer)]
    parts.append([fold(note, "") for note in answer.notes])
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _head(answer: Reproduced) -> list[str]:
    if answer.verdict == "exact":
        what = (
            f"it fails in the same way ({answer.failed})"
            if answer.failed
            else "every table, model, metric and amount is the same to the last bit"
        )
        said = f"Exact: executed again, {what}."
        if any(step.same == "equal" for step in answer.steps):
            said = "Exact: executed again, every table, metric and amount is the same to the last bit. Objects have other bytes, but the same was made of them."
    elif answer.verdict == "within-noise" and not any(step.same == "varies" for step in answer.steps):
        said = "Within noise: every table and metric is the same to the last bit; bounds of intervals differ in their last digits, as sums in another order do."
    elif answer.verdict == "within-noise":
        said = (
            f"Within noise: {count(answer.executions, 'execution')} differ among themselves, and the run's numbers lie where one more of them"
            f" would be expected ({answer.confidence:.0%} prediction interval)."
        )
    else:
        said = f"Differs: executed again, run {answer.run} does not give the same."
    return [fold(said, "")]


def _stages(answer: Reproduced) -> list[str]:
    rows = [(step.name, _SAYS[step.same], step.what) for step in answer.steps if step.same != "exact"]
    same = sum(step.same == "exact" for step in answer.steps)
    if not rows:
        return []
    return ["Not the same", *table(("", "", ""), rows)[1:], f"{count(same, 'stage')} to the last bit the same."]


def _figures(answer: Reproduced) -> list[str]:
    unlike = [each for each in answer.figures if each.low is not None or each.a != each.b]
    if not unlike:
        return []
    rows = [
        (each.name, _number(answer, each.name, each.a), _number(answer, each.name, each.b), _interval(answer, each))
        for each in unlike[:_SHOWN]
    ]
    more = [f"and {count(len(unlike) - _SHOWN, 'number')} more (--json has them all)"] if len(unlike) > _SHOWN else []
    return [*table(("", "in the run", "executed again", "expected"), rows), *more]


def _interval(answer: Reproduced, each: Figure) -> str:
    if each.low is None or each.high is None:
        return ""
    said = f"{_number(answer, each.name, each.low)} to {_number(answer, each.name, each.high)}"
    return said if each.within else f"{said}: outside"


def _number(answer: Reproduced, name: str, value: float | None) -> str:
    if value is None:
        return "(none)"
    money = answer.currency and name.startswith(("per_year.", "gain"))
    return f"{amount(value)} {answer.currency}" if money else figure(value)


def _cost(answer: Reproduced) -> list[str]:
    took = f"{count(answer.executions, 'execution')}; the first took {duration(answer.seconds)}, the run {duration(answer.run_seconds)}."
    if answer.verdict == "exact":
        return [took]
    return [took, f"What makes the difference: payoff why {answer.run} {answer.again}"]
