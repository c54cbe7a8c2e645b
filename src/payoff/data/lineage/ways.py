"""How columns decide without being in a value, noted while a query is evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from payoff.data.lineage.flow import Way


class Ways:
    """`clauses`: what decides over rows and their order, by the kind of clause; `expressions`: what decides inside of expressions."""

    def __init__(self) -> None:
        self.clauses: dict[Way, int] = {}
        self.expressions: dict[Way, int] = {}

    def clause(self, way: Way, mask: int) -> int:
        """Note that a clause of this kind decides by what the mask says; the mask again."""
        self.clauses[way] = self.clauses.get(way, 0) | mask
        return mask

    def inside(self, way: Way, mask: int) -> int:
        """The same of a part of an expression."""
        self.expressions[way] = self.expressions.get(way, 0) | mask
        return mask
