"""Money that is exact: totals of fixed payoffs, to the last cent."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def total(
    amounts: list[list[Decimal | None]], actions: NDArray[np.int64], outcomes: NDArray[np.int64]
) -> Decimal | None:
    """The exact sum of fixed payoffs: `amounts[action][outcome]`, None where a payoff is an expression of the row.

    None when any decision's payoff is not fixed.

    >>> total([[Decimal("1.10")]], np.zeros(3, np.int64), np.zeros(3, np.int64))
    Decimal('3.30')
    """
    width = len(amounts[0])
    counts = np.bincount(actions * width + outcomes, minlength=len(amounts) * width)
    result = Decimal(0)
    for code in np.flatnonzero(counts):
        amount = amounts[int(code) // width][int(code) % width]
        if amount is None:
            return None
        result += amount * int(counts[code])
    return result


def mean(exact_total: Decimal, rows: int) -> float:
    """The mean per decision, rounded once from the exact quotient."""
    return float(Fraction(exact_total) / rows)
