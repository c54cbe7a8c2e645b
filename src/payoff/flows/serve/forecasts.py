"""How far forecasts were off in a run, where a quantity is decided by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.flows.serve.columns import holdout

if TYPE_CHECKING:
    from payoff.flows.opening import Past
    from payoff.records.run import RunRecord
    from payoff.records.serving.served import ForecastErrors


def errors(past: Past, record: RunRecord) -> ForecastErrors | None:
    """The errors that the run decided by on its holdout; none where nothing is decided by them."""
    charter = record.charter
    if charter is None or charter.quantity is None or charter.gives == "action":
        return None
    from payoff.execute.quantities import errors_again  # brings scipy
    from payoff.value import quantities

    rows, actions = holdout(record).rows or 1, len(charter.actions)
    seen, came = errors_again(record, charter, past.kit)
    number, together = quantities.how_many(rows, actions), quantities.together(rows, actions)
    return quantities.errors_of(seen, came, number=number, together=together)
