"""`-p name=value`: which step's parameters a run overrides."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from payoff.base.errors import UserError
from payoff.base.text import did_you_mean
from payoff.plan.graph import TRAIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payoff.records.project import Project


def resolve(project: Project, asked: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every step's parameters: the defaults of its code, overridden by name (`max_iter`, in every step that has it) or by `step.name`."""
    values = {step.name: dict(step.parameters) for step in project.steps}
    for name, given in asked.items():
        step, _, parameter = name.rpartition(".")
        targets = [s for s in values if parameter in values[s] and (not step or s == step)]
        if not targets:
            known = {p for s in values for p in values[s]} | {f"{s}.{p}" for s in values for p in values[s]}
            raise UserError(
                f"no step has a parameter {name!r}",
                code="PO-R110",
                expected=did_you_mean(name, known),
                remedy=f"payoff run -p {min(known)}=..." if known else "give a step a keyword-only parameter",
            )
        for target in targets:
            values[target][parameter] = _like(values[target][parameter], given, name)
    return values


def _like(default: Any, given: Any, name: str) -> Any:
    """A value of the default's type: text from the command line becomes a number, a truth value or JSON where the default is one."""
    value = given
    if isinstance(given, str) and not isinstance(default, str):
        try:
            value = json.loads(given)
        except ValueError:
            value = {"True": True, "False": False, "None": None}.get(given, given)
    fits = (
        default is None
        or isinstance(value, type(default))
        or (isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool))
    )
    if not fits or (isinstance(value, bool) != isinstance(default, bool) and default is not None):
        raise UserError(
            f"parameter {name} was given {type(value).__name__}",
            code="PO-R111",
            expected=f"{type(default).__name__}, as its default is",
            remedy=f"payoff run -p {name}={json.dumps(default)}",
        )
    return float(value) if isinstance(default, float) and isinstance(value, int) else value


def known_steps(project: Project, asked: tuple[str, ...]) -> tuple[str, ...]:
    """The steps asked for by name, each of which must exist; `train` is the examples and their split."""
    names = [*(step.name for step in project.steps), TRAIN]
    for name in asked:
        if name not in names:
            raise UserError(
                f"there is no step {name!r}",
                code="PO-R112",
                expected=did_you_mean(name, names),
                remedy="payoff run --only STEP with one of these",
            )
    return asked
