"""What the model says of rows -> the quantity with the highest expected payoff, by the charter and the errors that its forecasts had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from payoff.base.money import LARGEST
from payoff.data import expressions, predictions
from payoff.data.names import column
from payoff.serving.decisions.deciding import Decisions
from payoff.value import decide, quantities

if TYPE_CHECKING:
    from payoff.ports.engine import Engine
    from payoff.records.serving.served import ForecastErrors, Served

_CAME, _ALL = "payoff:came", "payoff:all"  # the columns of an outcome that is supposed, and of all those of a row
_AT_ONCE = 2_000_000  # amounts; a part of `payoff score` has more rows than fit


class QuantityDecider:
    """The charter's decision rule over batches, where the action is a quantity: by the same engine, in the same order of sums as in the run."""

    def __init__(self, served: Served, engine: Engine) -> None:
        self.charter = served.charter
        self._served, self._engine = served, engine
        spec = quantities.spec_of(self.charter)
        self._permitted = np.array([float(each) for each in spec.permitted])
        # One expression over all quantities: a query that names each, as a run's does, takes ten times as long to be read as a row to be decided.
        money = expressions.money_of_chosen(self.charter, spec, column(_CAME))
        listed = ", ".join(f"cast({each:f} as double)" for each in spec.permitted)
        came = f"select *, unnest({column(_ALL)}) as {column(_CAME)} from supposed"
        self._sql = (
            f"select {money} as money from (select *, unnest([{listed}]) as {column(expressions.CHOSEN)} from ({came}))"
        )

    def decide(self, rows: pa.RecordBatch, answered: pa.RecordBatch) -> Decisions:
        """The decisions for rows and what the model answered for them.

        Raises `UserError` where what the model said is no number.
        """
        classes = None if self._served.classes is None else list(self._served.classes)
        table = pa.Table.from_batches([answered])
        said = predictions.quantities(self.charter, self._served.step, table, classes, rows=rows.num_rows).to_numpy()
        errors = self._served.errors
        if errors is None:  # the model names the quantity itself, and is taken at its word
            codes = quantities.nearest(quantities.spec_of(self.charter), said)
            return Decisions(codes, self._permitted[codes], None, bad={})
        some = max(1, _AT_ONCE // (len(errors.off[0]) * len(self._permitted)))
        parts = [
            self._hoped(rows.slice(first, some), said[first : first + some], errors)
            for first in range(0, len(said), some)
        ]
        hoped = np.concatenate(parts)
        wrong = ~(np.abs(hoped) <= LARGEST).all(axis=1)
        hoped[wrong] = 0.0
        codes = decide.choose(hoped)
        return Decisions(
            codes,
            self._permitted[codes],
            hoped[np.arange(len(codes)), codes],
            bad=dict.fromkeys(np.flatnonzero(wrong).tolist(), "payoff.quantity"),
            forecasts=said,
        )

    def _hoped(self, rows: pa.RecordBatch, said: Any, errors: ForecastErrors) -> Any:
        """The mean money (n, a) of each quantity over all outcomes that the forecasts (n,) stand for."""
        came = quantities.supposed(said, errors)
        places = pa.array(range(0, came.size + 1, came.shape[1]), pa.int64())
        lists = pa.LargeListArray.from_arrays(places, pa.array(came.ravel()))
        asked = self._engine.query(self._sql, {"supposed": pa.Table.from_batches([rows]).append_column(_ALL, lists)})
        money = asked["money"].to_numpy().reshape(*came.shape, -1)
        size = errors.together
        return quantities.mean(money[:, first : first + size] for first in range(0, came.shape[1], size))
