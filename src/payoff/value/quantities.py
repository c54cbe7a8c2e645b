"""Decisions whose action is a quantity: how many to order, when what is needed turns out only afterwards (the newsvendor's problem)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from payoff.base.errors import UserError, Where
from payoff.base.money import LARGEST
from payoff.records.serving.served import ForecastErrors
from payoff.value import exact
from payoff.value.rows import Mistakes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from payoff.records.charter import Charter, QuantitySpec
    from payoff.value.valuation import Valued

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

MANY, FEW, _LARGE = 32, 16, 10_000_000  # outcomes that a forecast stands for; fewer beyond so many amounts
_AT_ONCE = 10_000_000  # amounts
_BINS, _IN_BIN = 5, 100
MOST = 50_000_000  # amounts: rows times permitted quantities


@dataclass(frozen=True, slots=True)
class Quantities:
    """n decisions between a quantities.

    `worth` (n, a): the money of each permitted quantity, given what was needed; `hoped` (n, a): the same as the model expects it (none without a
    model). `outcomes` (n,): what was needed; `forecasts` (n,): what the model said would be. `rules`, `clusters`, `within` and `costs` as in `rows.Rows`.
    """

    worth: Floats
    outcomes: Floats
    rules: Mapping[str, Codes]
    hoped: Floats | None = None
    forecasts: Floats | None = None
    clusters: Codes | None = None
    within: Codes | None = None
    costs: Floats | None = None

    @property
    def number(self) -> int:
        """How many decisions, n."""
        return len(self.outcomes)

    def known(self, _charter: Charter, /) -> Floats:
        """The money (n, a) of every action, given what really happened."""
        return self.worth

    def expected(self, _charter: Charter, /) -> Floats:
        """The money (n, a) that the model expects of every action."""
        return cast("Floats", self.hoped)

    def refuse(self, charter: Charter) -> None:
        """Refuse amounts so large that cents are lost in sums, or so many that they do not fit."""
        quantity = charter.quantity
        line = quantity.line if quantity else 0
        far = int((~(np.abs(self.worth) <= LARGEST)).any(axis=1).sum())
        if far:
            raise UserError(
                f"payoff.quantity is no amount of money for {far:,} rows",
                code="PO-V003",
                expected=f"amounts of at most {LARGEST:,.0f} {charter.currency} per decision",
                remedy="correct payoff.quantity, or the units of its columns, in the charter",
                where=Where(charter.file, line),
            )

    def total(self, _charter: Charter, _actions: Codes, money: Floats, /) -> exact.Total:
        """The money of the actions taken, rounded once."""
        return exact.Total(fixed=Decimal(0), computed=math.fsum(money.tolist()), exact=False)

    def metrics(self, charter: Charter) -> dict[str, float]:
        """How far forecasts are from what was needed, for people who ask: none of these figures decides anything.

        `mae` (mean absolute error), `rmse` (root of the mean squared one) and `bias` (mean of forecast minus outcome) in the outcome's unit, `wape` the
        sum of absolute errors by the sum of absolute outcomes (left out where that is 0).
        """
        if self.forecasts is None or charter.gives == "action":
            return {}
        error = self.forecasts - self.outcomes
        found = {
            "mae": float(np.abs(error).mean()),
            "rmse": float(np.sqrt((error**2).mean())),
            "bias": float(error.mean()),
        }
        whole = float(np.abs(self.outcomes).sum())
        return found | ({"wape": float(np.abs(error).sum()) / whole} if whole else {})

    def mistakes(self, known: Floats, actions: Codes) -> Mistakes:
        """Too little is the mistake; too much is told beside it. Of equally good quantities none is a mistake."""
        best = known.max(axis=1)
        off = known[np.arange(len(actions)), actions] < best
        first = known.argmax(axis=1)
        last = known.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
        return Mistakes(wrong=off & (actions < first), focus=None, other=off & (actions > last))


def refuse_many(charter: Charter, rows: int) -> None:
    """Refuse more amounts than fit into memory."""
    number = len(charter.actions)
    if rows * number > MOST:
        raise UserError(
            f"{rows:,} rows with {number:,} permitted quantities each are {rows * number:,} amounts",
            code="PO-V004",
            expected=f"at most {MOST:,}",
            remedy=f"raise decision.action.step in {charter.file}, or hold fewer rows out",
            where=Where(charter.file),
        )


def nearest(quantity: QuantitySpec, values: Floats) -> Codes:
    """The codes of the permitted quantities nearest to values (n,); of two equally near the smaller.

    >>> from decimal import Decimal
    >>> from payoff.records.charter import QuantitySpec
    >>> cases = QuantitySpec(sql="", least=Decimal(0), most=Decimal(48), step=Decimal(12))
    >>> nearest(cases, np.array([-3.0, 5.0, 6.0, 6.1, 1000.0])).tolist()
    [0, 0, 0, 1, 4]
    """
    places = (np.asarray(values, dtype=np.float64) - float(quantity.least)) / float(quantity.step)
    last = len(quantity.permitted) - 1
    return np.clip(np.ceil(places - 0.5 - 1e-9), 0, last).astype(np.int64)


def scenarios(forecasts: Floats, seen: Floats, came: Floats, *, number: int) -> Floats:
    """The outcomes (n, number) that forecasts (n,) stand for, all equally likely: each forecast plus errors that were made before.

    Parameters: `seen` (m,) forecasts and `came` (m,) outcomes of rows that the model did not learn from.

    The errors are quantiles of those of forecasts alike: the rows are put into at most five bins by their forecast, of 100 rows or more
    (Mondrian conformal predictive distributions: Boström, Johansson, Löfström 2021, COPA). So a model that errs more on large numbers is
    known to, and one that is off on average is put right. Where no outcome was below zero none will be, and where all were whole
    numbers all are.
    """
    return supposed(forecasts, errors_of(seen, came, number=number))


def errors_of(seen: Floats, came: Floats, *, number: int, together: int = 1) -> ForecastErrors:
    """What is left of forecasts `seen` (m,) and outcomes `came` (m,) for the `scenarios` of others: so many errors for each bin of forecasts."""
    bins = int(np.clip(len(seen) // _IN_BIN, 1, _BINS))
    edges = np.unique(np.quantile(seen, np.arange(1, bins) / bins)) if bins > 1 else np.empty(0)
    binned = np.searchsorted(edges, seen, side="right")
    levels = (np.arange(number) + 0.5) / number
    errors = came - seen
    found = []
    for each in range(len(edges) + 1):
        mine = errors[binned == each]
        found.append(tuple(np.quantile(mine if len(mine) else errors, levels).tolist()))
    return ForecastErrors(
        edges=tuple(edges.tolist()),
        off=tuple(found),
        positive=bool((came >= 0).all()),
        whole=bool((came == np.rint(came)).all()),
        together=min(together, number),
    )


def supposed(forecasts: Floats, errors: ForecastErrors) -> Floats:
    """The outcomes (n, number) that forecasts (n,) stand for, by the errors that were made before."""
    found = forecasts[:, None] + np.array(errors.off)[np.searchsorted(errors.edges, forecasts, side="right")]
    if errors.positive:
        found = np.maximum(found, 0.0)
    return np.asarray(np.rint(found) if errors.whole else found, dtype=np.float64)


def together(rows: int, actions: int) -> int:
    """How many supposed outcomes of each row are added up at a time."""
    return max(1, _AT_ONCE // (rows * actions))


def how_many(rows: int, actions: int) -> int:
    """How many outcomes each forecast stands for."""
    return MANY if rows * actions <= _LARGE else FEW


def spread(quantity: QuantitySpec, codes: Codes) -> dict[str, float]:
    """The quantities chosen: their mean, and the tenth and ninetieth of a hundred."""
    chosen = np.array([float(each) for each in quantity.permitted])[codes]
    low, high = np.quantile(chosen, [0.1, 0.9])
    return {"mean": float(chosen.mean()), "low": float(low), "high": float(high)}


def spec_of(charter: Charter) -> QuantitySpec:
    """The quantity of a charter that has one; no other comes here."""
    return cast("QuantitySpec", charter.quantity)


def matrix(columns: Sequence[Floats]) -> Floats:
    """Columns of money (n,) as one array (n, a)."""
    return np.stack(columns, axis=1)


def mean(parts: Iterable[Floats]) -> Floats:
    """The mean (n, a) over the outcomes of parts (n, some, a)."""
    total, number = np.zeros(()), 0
    for part in parts:
        total = total + part.sum(axis=1)
        number += part.shape[1]
    return np.asarray(total / number, dtype=np.float64)


def unsound(amounts: Floats) -> list[int]:
    """The places of rows with an amount that is no number; the rows are the first dimension."""
    bad = (~np.isfinite(amounts)).reshape(len(amounts), -1).any(axis=1)
    return [int(place) for place in np.flatnonzero(bad)]


def chosen(charter: Charter, said: Floats) -> Floats:
    """What a model hopes of each quantity (n, a) that names the quantity itself, (n,): everything of the nearest permitted one."""
    hoped = np.zeros((len(said), len(charter.actions)))
    hoped[np.arange(len(said)), nearest(spec_of(charter), said)] = 1.0
    return hoped


def told(charter: Charter, valued: Valued) -> dict[str, Any]:
    """Per row the quantity chosen and its money, and the best in hindsight (of equally good ones the smallest) and its money."""
    permitted = np.array([float(each) for each in spec_of(charter).permitted])
    every, best = np.arange(len(valued.actions)), valued.payoffs.argmax(axis=1)
    return {
        "action": permitted[valued.actions],
        "payoff": valued.payoffs[every, valued.actions],
        "best_action": permitted[best],
        "best_payoff": valued.payoffs[every, best],
    }
