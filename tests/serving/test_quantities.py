"""One expression over all quantities, as a server asks, gives to the last bit the money that a run gets by naming each."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from payoff.data import expressions
from payoff.data.names import column
from payoff.records.charter import QuantitySpec
from payoff.records.serving.served import ForecastErrors
from payoff.serving.decisions.quantities import QuantityDecider
from payoff.testing.samples import sample_charter
from payoff.value import quantities
from payoff.wiring import assemble

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

EXPRESSIONS = [
    "3.20 * least(action, outcome) - 1.10 * action",
    "price * least(action, outcome) - case when weekend then 0.9 else 1.1 end * action",
    "-0.02 * (action - outcome) ^ 2 + price / 3",
    "ln(1 + action) * price - abs(action - outcome) * 0.07",
    "round(price * least(action, outcome), 2) - action // 7",
    "case when action > outcome + 20 then -1000.5 else greatest(outcome - action, 0.0) * 0.1 end",
]


@pytest.mark.parametrize("sql", EXPRESSIONS)
def test_all_quantities_at_once_are_worth_what_each_is(sql: str, tmp_path: Path) -> None:
    engine = assemble.engine({}, tmp_path)
    spec = QuantitySpec(sql=sql, least=Decimal("0.5"), most=Decimal("100.5"), step=Decimal("2.5"))
    charter = msgspec.structs.replace(sample_charter(), cells=(), quantity=spec)
    rng = np.random.default_rng(5)
    rows = pa.RecordBatch.from_pydict({"price": rng.uniform(1, 9, 40), "weekend": rng.integers(0, 2, 40) == 1})
    said = rng.uniform(0, 100, 40)
    errors = ForecastErrors(edges=(50.0,), off=(tuple(rng.normal(0, 9, 16).tolist()),) * 2, positive=True, whole=False, together=5)
    served: Any = type("Part", (), {"charter": charter})()
    found = QuantityDecider(served, engine)._hoped(rows, said, errors)

    came = quantities.supposed(said, errors)
    listed = ", ".join(expressions.quantity_money(charter, spec, column("came")))
    table = pa.table({name: np.repeat(rows[name].to_numpy(zero_copy_only=False), 16) for name in rows.schema.names} | {"came": came.ravel()})
    asked = engine.query(f"select {listed} from rows", {"rows": table})
    money = np.stack([each.to_numpy() for each in asked.columns], axis=1).reshape(40, 16, -1)
    assert np.isfinite(money).all()
    assert found.tobytes() == quantities.mean(money[:, first : first + 5] for first in range(0, 16, 5)).tobytes()
