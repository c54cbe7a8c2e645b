"""Money is an exact amount with a currency, never a bare float."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from payoff.base.errors import UserError

LARGEST = 1e12  # an amount per decision: beyond it cents are lost in sums


def plain(number: Decimal) -> str:
    """A number as short as it can be written.

    >>> plain(Decimal("5.0")), plain(Decimal(100)), plain(Decimal("2.50"))
    ('5', '100', '2.5')
    """
    return f"{number.normalize():f}"


class Money:
    """An exact decimal amount in one currency.

    >>> Money("1.10", "EUR") + Money("2.20", "EUR")
    Money('3.30', 'EUR')
    >>> Money(1, "EUR") + Money(1, "USD")
    Traceback (most recent call last):
    ...
    payoff.base.errors.UserError: PO-V001: EUR and USD were added
      expected: one currency
      Try: convert one of the amounts first; the charter's [payoff] currency is the one all amounts are in
    """

    __slots__ = ("amount", "currency")

    def __init__(self, amount: Decimal | int | str, currency: str) -> None:
        self.amount = Decimal(amount)
        self.currency = currency

    def __add__(self, other: Money) -> Money:
        self._same_currency(other, "added")
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same_currency(other, "subtracted")
        return Money(self.amount - other.amount, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.amount, self.currency)

    def __mul__(self, factor: Decimal | int) -> Money:
        return Money(self.amount * factor, self.currency)

    def __lt__(self, other: Money) -> bool:
        self._same_currency(other, "compared")
        return self.amount < other.amount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and (self.amount, self.currency) == (other.amount, other.currency)

    def __hash__(self) -> int:
        return hash((self.amount, self.currency))

    def __repr__(self) -> str:
        return f"Money('{self.amount}', '{self.currency}')"

    def __str__(self) -> str:
        return f"{self.rounded().amount:,} {self.currency}"

    def rounded(self) -> Money:
        """The amount to the cent (half to even)."""
        return Money(self.amount.quantize(Decimal("0.01"), ROUND_HALF_EVEN), self.currency)

    def _same_currency(self, other: Money, verb: str) -> None:
        if self.currency != other.currency:
            raise UserError(
                f"{self.currency} and {other.currency} were {verb}",
                code="PO-V001",
                expected="one currency",
                remedy="convert one of the amounts first; the charter's [payoff] currency is the one all amounts are in",
            )
