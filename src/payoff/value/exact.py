"""Money that is exact: sums of fixed payoffs to the last cent, sums of computed ones rounded once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Cells = Sequence[Sequence[Decimal | None]]


@dataclass(frozen=True, slots=True)
class Total:
    """Money over the holdout: `fixed` is exact; `computed` is the sum of the payoffs that are expressions of the row.

    `exact` says that no such payoff was among them.
    """

    fixed: Decimal
    computed: float
    exact: bool

    @property
    def amount(self) -> Fraction:
        """All of it, without any further rounding."""
        return Fraction(self.fixed) + Fraction(self.computed)


def total(cells: Cells, actions: NDArray[np.int64], outcomes: NDArray[np.int64], money: NDArray[np.float64]) -> Total:
    """The money of the actions taken: `cells[action][outcome]` is a fixed payoff, or None where it is an expression of the row.

    Decisions with a fixed payoff are counted and multiplied as integers, whatever the number of digits. The amounts in `money` (n,)
    of the other decisions are added by `math.fsum`: the sum of the given floating-point numbers, rounded once.

    >>> three = np.zeros(3, np.int64)
    >>> total([[Decimal("1.10")]], three, three, np.full(3, 1.1))
    Total(fixed=Decimal('3.30'), computed=0.0, exact=True)
    """
    width = len(cells[0])
    codes = actions * width + outcomes
    counts = np.bincount(codes, minlength=len(cells) * width).tolist()
    amounts = [cell for row in cells for cell in row]
    taken = [(amount, number) for amount, number in zip(amounts, counts, strict=True) if amount is not None and number]
    free = np.array([amount is None for amount in amounts])[codes]
    return Total(fixed=_sum_of_products(taken), computed=math.fsum(money[free].tolist()), exact=not bool(free.any()))


def rate(amount: Fraction, rows: int, *, times: int = 1, minus: Decimal = Decimal(0)) -> float:
    """An amount over so many rows as one per `times` decisions, less a cost: computed exactly, rounded once.

    >>> rate(Fraction("3.30"), 3, times=1000, minus=Decimal("0.10"))
    1099.9
    """
    return float(amount * times / rows - Fraction(minus))


def _sum_of_products(parts: Sequence[tuple[Decimal, int]]) -> Decimal:
    """Without the rounding to 28 digits of `Decimal`'s own arithmetic."""
    places = max((_places(amount) for amount, _ in parts), default=0)
    units = sum(int(Fraction(amount) * 10**places) * number for amount, number in parts)
    return Decimal((int(units < 0), Decimal(abs(units)).as_tuple().digits, -places))


def _places(amount: Decimal) -> int:
    exponent = amount.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
