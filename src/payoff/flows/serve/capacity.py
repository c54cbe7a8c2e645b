"""An action that not everybody can have, where decisions come one by one: from which advantage on it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.data import expressions
from payoff.data.names import column
from payoff.execute import governing
from payoff.flows.serve.columns import holdout
from payoff.records.serving.served import Bar
from payoff.value import capacity

if TYPE_CHECKING:
    from payoff.flows.opening import Past
    from payoff.records.project import Project
    from payoff.records.run import RunRecord


def bar(past: Past, project: Project, record: RunRecord) -> Bar | None:
    """The bars that use the charter's capacity on the holdout, for the probabilities that the run's model gave there."""
    charter, predictions = record.charter, record.predictions
    if charter is None or charter.capacity is None or predictions is None:
        return None
    from payoff.execute import money  # brings scipy

    rows = holdout(record)
    files = {"holdout": past.kit.store.path(rows), "predictions": past.kit.store.path(predictions)}
    contracts = governing.of_record(project, record)
    answer = past.kit.engine.query(expressions.payoff_query(charter, rows.columns, contracts), files)
    place = f"(select {column(charter.decision.id)} as id, row_number() over () as place from holdout)"
    sql = f"select predictions.* from {place} join predictions using (id) order by place"
    said = past.kit.engine.query(sql, files)
    made = money.rows_of(charter, answer, {name: said[f"p_{name}"].to_numpy() for name in charter.outcomes})
    limit = capacity.of(charter, made.number, made.within, made.costs)
    if limit is None:
        return None
    names = (
        answer["within"].combine_chunks().dictionary_encode().dictionary.to_pylist() if made.within is not None else []
    )
    every, groups = capacity.bars(limit, made.expected(charter))
    return Bar(
        every=every, groups=dict(zip(names, groups, strict=True)) if names else {}, by_cost=limit.costs is not None
    )
