"""How much noise has told so far: what each version of a table with noise cost of its budget of epsilon, added up.

Sequential composition (Dwork & Roth, "The Algorithmic Foundations of Differential Privacy", 2014, section 3.5, theorem 3.16): several answers about the same rows
that are epsilon-private each are private together for the sum of their epsilons. Several columns of a row count as several answers. The same version costs
nothing again: its noise comes out of a keyed hash, and is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from payoff.records.finding import Finding, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from payoff.records.catalog import Told
    from payoff.records.contract import Contract

EVENT = "epsilon"  # in the ledger: a `catalog.Told`
_ROUNDING = 1e-9


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a version: `epsilon` is what it cost (0: it was there before), `total` what all so far cost, it included where it was `let` go."""

    told: Told
    epsilon: float
    total: float
    let: bool


def noised(contract: Contract) -> tuple[str, ...]:
    """The columns that get noise."""
    return tuple(name for name, each in contract.applied.items() if each.operator == "noise")


def cost(contract: Contract) -> float:
    """What one version costs: the sum of the epsilons of its columns."""
    return sum(contract.applied[name].epsilon for name in noised(contract))


def spent(events: Iterable[Told]) -> list[Spent]:
    """The versions of one table, in the order in which they were written down; each is held against the budget of its own moment.

    Whoever reads the same events comes to the same answer, so that of two runs at once only those may go on that fit together.

    >>> from payoff.records.catalog import Told
    >>> def told(version, epsilon, budget=1.0):
    ...     return Told(at="", run="", table="t", version=version, columns=(), epsilon=epsilon, budget=budget)
    >>> [(each.let, each.epsilon, each.total) for each in spent([told("a", 0.6), told("b", 0.6), told("a", 0.6), told("c", 0.4)])]
    [(True, 0.6, 0.6), (False, 0.6, 0.6), (True, 0.0, 0.6), (True, 0.4, 1.0)]
    """
    known: set[str] = set()
    total = 0.0
    found = []
    for each in events:
        price = 0.0 if each.version in known else each.epsilon
        let = price == 0 or each.budget is None or total + price <= each.budget + _ROUNDING
        if let:
            known.add(each.version)
            total += price
        found.append(Spent(told=each, epsilon=price, total=total, let=let))
    return found


def findings(contracts: Iterable[Contract]) -> Iterator[Finding]:
    """Noise without a budget, and a budget that no version fits in."""
    for contract in contracts:
        price = cost(contract)
        if not price:
            continue
        line = contract.applied[noised(contract)[0]].line
        if contract.epsilon is None:
            yield Finding(
                code="PO-F031",
                severity="warning",
                what=f"{contract.table} has noise, and no budget: each new version tells a little more, without end",
                where=Place(contract.file, line),
                expected="a custom property of the table: { property: epsilon, value: 5 }, for all its versions together",
                try_=f"have its steward set one in {contract.file}",
            )
        elif price > contract.epsilon + _ROUNDING:
            yield Finding(
                code="PO-F030",
                what=f"one version of {contract.table} costs epsilon {price:g}, and its budget is {contract.epsilon:g}",
                where=Place(contract.file, line),
                expected="a budget for one version at least",
                try_=f"more noise (a smaller epsilon), or a larger budget with the steward's consent, in {contract.file}",
            )
