"""What cannot be valued, said before any counting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from payoff.base.errors import Refused, UserError, Where
from payoff.base.money import LARGEST
from payoff.base.text import count
from payoff.value import size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from payoff.records.charter import Charter

MODEL, PERFECT = "model", "perfect"


def refuse_names(charter: Charter) -> None:
    """Refuse common solutions that could not be told apart from each other or from `model` and `perfect`."""
    names = [solution.name for solution in charter.common_solutions]
    for number, solution in enumerate(charter.common_solutions):
        if solution.name in {MODEL, PERFECT, *names[:number]}:
            raise UserError(
                f"the name of common solution {solution.name} is taken",
                code="PO-V002",
                expected=f"names that differ from each other, from {MODEL} and from {PERFECT}",
                remedy=f"give it another name in {charter.file}",
                where=Where(charter.file, solution.line),
            )


def refuse_amounts(charter: Charter, payoffs: Mapping[tuple[str, str], NDArray[np.float64]]) -> None:
    """Refuse amounts that are not finite or so large that cents are lost in sums."""
    for cell in charter.cells:
        far = int((~(np.abs(payoffs[cell.action, cell.outcome]) <= LARGEST)).sum())
        if far:
            raise UserError(
                f"payoff {cell.action}.{cell.outcome} is no amount of money for {count(far, 'row')}",
                code="PO-V003",
                expected=f"amounts of at most {LARGEST:,.0f} {charter.currency} per decision",
                remedy="correct the cell, or the units of its columns, in the charter",
                where=Where(charter.file, cell.line),
            )


def refuse_few(charter: Charter, rows: int, clusters: NDArray[np.int64] | None) -> None:
    """Refuse a holdout on which nothing can be compared; `gates.holdout_size` judges one that is merely small."""
    units, noun = (rows, "row") if clusters is None else (len(np.unique(clusters)), "group")
    if units < 2:
        raise Refused(
            f"the holdout has {count(units, noun)}",
            code="PO-V010",
            expected=f"at least {size.FEWEST} {noun}s at {charter.accept.confidence:g} confidence",
            remedy="collect more decisions, or keep a larger share as holdout (split.holdout in the charter); then payoff run",
            where=Where(charter.file),
        )
