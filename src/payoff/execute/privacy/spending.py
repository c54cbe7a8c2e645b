"""A version of a table with noise is paid for before anybody can read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from payoff.base.clock import now
from payoff.base.errors import Refused, Where
from payoff.records.catalog import Told

if TYPE_CHECKING:
    from payoff.execute.context import Context
    from payoff.records.project import Step

_ALL = 1_000_000_000


def pay(context: Context, step: Step, version: str) -> None:
    """Write down what a version costs of its table's budget of epsilon; `Refused` when it does not fit in.

    It is written before the version goes to the store: a kill between has paid for nothing, and the same version costs nothing when it comes again.
    """
    contract = context.project.contract(step.name)
    if contract is None or not any(each.operator == "noise" for each in contract.applied.values()):
        return
    from payoff.data.labels import epsilon  # brings sqlglot, and few tables have noise

    price, ledger = epsilon.cost(contract), context.kit.ledger
    told = Told(
        at=now(),
        run=context.run,
        table=step.name,
        version=version,
        columns=epsilon.noised(contract),
        epsilon=price,
        budget=contract.epsilon,
    )
    body = {"subject": step.name, **msgspec.to_builtins(told)}
    ledger.journal(context.project.id, context.run, epsilon.EVENT, body)
    events = ledger.read(context.project.id, event=epsilon.EVENT, limit=_ALL).events
    known = [msgspec.convert(body, Told) for _, body in events if body["table"] == step.name]
    mine = next(each for each in epsilon.spent(known) if each.told == told)
    if not mine.let:
        raise Refused(
            f"a new version of {step.name} costs epsilon {price:g}, and of its budget of {contract.epsilon:g} are "
            f"{max(0.0, (contract.epsilon or 0.0) - mine.total):g} left",
            code="PO-F030",
            expected="a version that fits in the budget: all versions together tell no more about a row than that",
            remedy=f"use the version that there is, or raise epsilon in {contract.file} with the steward's consent; payoff data audit {step.name} lists all",
            where=Where(contract.file, contract.applied[told.columns[0]].line),
        )
