"""What the model says of rows -> the action with the highest expected payoff, by the charter."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from payoff.base.errors import UserError
from payoff.base.money import LARGEST
from payoff.data import arithmetic, expressions, predictions
from payoff.data.names import column
from payoff.serving.faults import Fault, Wrong
from payoff.value import capacity, decide
from payoff.value.rows import cube_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payoff.ports.engine import Engine
    from payoff.records.serving.served import Served
    from payoff.serving.decisions.quantities import QuantityDecider

AMOUNT = "is an amount of money for every row"
_COST, _WITHIN = "capacity:cost", "within"


class Decisions(NamedTuple):
    """Per row the code of its action (n,), the action as it is told (n,), and what it is expected to bring (n,) in the charter's currency (None: nobody knows).

    Of named actions also what each is expected to bring (n, a) and the probabilities by outcome; of quantities the forecasts (n,).
    `bad` are rows of which a payoff could not be computed, with the column that says so; their other values mean nothing.
    """

    actions: Any
    chosen: Any
    expected: Any
    bad: dict[int, str]
    worth: Any = None
    chances: Mapping[str, Any] = MappingProxyType({})
    forecasts: Any = None


class Decider:
    """The charter's decision rule over batches. Payoffs that are expressions are computed as the engine does, and by it where they are more than plain arithmetic."""

    def __init__(self, served: Served, engine: Engine) -> None:
        self.charter = served.charter
        self._served, self._engine = served, engine
        self._names = np.array(self.charter.actions, dtype=object)
        self._fixed = {(c.action, c.outcome): float(c.amount) for c in self.charter.cells if c.amount is not None}
        parts = [
            f"{expressions.amount_sql(c.sql)} as {column(f'payoff:{c.action}:{c.outcome}')}"
            for c in self.charter.cells
            if c.sql is not None
        ]
        limit = self.charter.capacity
        if limit is not None and limit.within is not None:
            parts.append(f"coalesce(cast({column(limit.within)} as varchar), '') as {_WITHIN}")
        if limit is not None and limit.cost_sql is not None:
            parts.append(f"{expressions.amount_sql(limit.cost_sql)} as {column(_COST)}")
        self._sql = f"select {', '.join(parts)} from rows" if parts else ""
        self._plain = self._arithmetic(limit is not None and (limit.within is not None or limit.cost_sql is not None))

    def _arithmetic(self, more: bool) -> dict[tuple[str, str], Any] | None:
        """Cell -> how it is computed without the engine, where all are plain arithmetic and nothing else is asked of the engine."""
        types = {each.name: each.type for each in self._served.columns}
        made = {
            (c.action, c.outcome): arithmetic.compiled(c.sql, types) for c in self.charter.cells if c.sql is not None
        }
        return None if more or any(each is None for each in made.values()) else made

    def _computed(self, rows: pa.RecordBatch) -> dict[tuple[str, str], Any] | None:
        """The cells that are plain arithmetic; None where the engine has to be asked, of missing values and of very large ones."""
        if self._plain is None:
            return None
        arrays: dict[str, Any] = {}
        found: dict[tuple[str, str], Any] = {}
        for cell, (plain, names) in self._plain.items():
            for name in names:
                if name not in arrays:
                    column_ = rows.column(name)
                    if column_.null_count:
                        return None
                    whole = pa.types.is_integer(column_.type)
                    arrays[name] = column_.to_numpy().astype(np.int64 if whole else np.float64, copy=False)
            try:
                found[cell] = plain(arrays)
            except arithmetic.TooLarge:
                return None
        return found

    def decide(self, rows: pa.RecordBatch, answered: pa.RecordBatch) -> Decisions:
        """The decisions for rows and what the model answered for them.

        Raises `UserError` where the model's probabilities are none.
        """
        charter, number = self.charter, rows.num_rows
        table = pa.Table.from_batches([answered])
        classes = None if self._served.classes is None else list(self._served.classes)
        found = predictions.probabilities(charter, self._served.step, table, classes, rows=number)
        chances = {name: each.to_numpy() for name, each in found.items()}
        calibration = self._served.calibration
        if calibration is not None and calibration.applied:
            from payoff.value.correction import corrected

            chances = corrected(calibration, chances)
        computed = self._computed(rows)
        asked = None
        if self._sql and computed is None:
            asked = self._engine.query(self._sql, {"rows": pa.Table.from_batches([rows])})
        payoffs, bad = self._payoffs(asked, computed or {}, number)
        stacked = np.stack([chances[outcome] for outcome in charter.outcomes], axis=1)
        worth = decide.expected(stacked, cube_of(charter, payoffs))
        actions = self._actions(worth, asked)
        expected = worth[np.arange(number), actions]
        return Decisions(actions, self._names[actions], expected, bad, worth, chances)

    def _payoffs(
        self, asked: pa.Table | None, computed: Mapping[tuple[str, str], Any], number: int
    ) -> tuple[dict[tuple[str, str], Any], dict[int, str]]:
        payoffs: dict[tuple[str, str], Any] = {}
        bad: dict[int, str] = {}
        for cell in self.charter.cells:
            where = (cell.action, cell.outcome)
            if where in self._fixed:
                payoffs[where] = np.full(number, self._fixed[where])
                continue
            values = computed.get(where)
            if values is None:
                assert asked is not None  # noqa: S101 - what is neither fixed nor computed was asked for
                values = asked[f"payoff:{cell.action}:{cell.outcome}"].to_numpy()
            wrong = ~(np.abs(values) <= LARGEST)
            if wrong.any():
                bad |= dict.fromkeys(np.flatnonzero(wrong).tolist(), f"payoff.{cell.action}.{cell.outcome}")
                values = np.where(wrong, 0.0, values)
            payoffs[where] = values
        return payoffs, bad

    def _actions(self, worth: Any, asked: pa.Table | None) -> Any:
        bar, limit = self._served.bar, self.charter.capacity
        if bar is None or limit is None:
            return decide.choose(worth)
        each = np.full(len(worth), bar.every)
        costs = None
        if asked is not None and _WITHIN in asked.column_names:
            each = np.array([bar.groups.get(name, bar.every) for name in asked[_WITHIN].to_pylist()])
        if asked is not None and _COST in asked.column_names:
            costs = asked[_COST].to_numpy()
        return capacity.above(worth, self.charter.actions.index(limit.action), each, costs)


def decider(served: Served, engine: Engine) -> Decider | QuantityDecider:
    """What decides by the charter of a model."""
    if served.charter.quantity is None:
        return Decider(served, engine)
    from payoff.serving.decisions.quantities import QuantityDecider

    return QuantityDecider(served, engine)


def refuse_bad(decisions: Decisions, first: int, number: int) -> None:
    """Tell which of a request's rows have no payoff."""
    faults = [
        Fault(row - first, name, AMOUNT) for row, name in sorted(decisions.bad.items()) if first <= row < first + number
    ]
    if faults:
        raise Wrong(
            "a payoff of the charter is no amount for some rows: a division by zero, an overflow or a missing value",
            code="PO-J024",
            remedy="correct the rows, or write into the charter's cell what such rows are worth",
            faults=faults,
            status=422,
        )


def unsound(error: UserError) -> Wrong:
    """What the model predicted is no prediction."""
    return Wrong(f"{error.code}: {error.what}", code="PO-J034", remedy=error.remedy, status=500)
