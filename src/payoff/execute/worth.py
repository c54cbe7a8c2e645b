"""From tables to what a model could be worth, and to what carries the worth of one that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base import hashing
from payoff.data import expressions, groups, knobs, known
from payoff.data import split as splitting
from payoff.data.names import column
from payoff.execute import money
from payoff.records.artifact import Artifact
from payoff.value.valuation import seed_of
from payoff.value.worth import explain, prospect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pyarrow as pa

    from payoff.ports.kit import Kit
    from payoff.records.charter import Charter
    from payoff.records.contract import Contract
    from payoff.records.project import Project
    from payoff.records.run import RunRecord
    from payoff.records.worth import Findings, Prospect


def before(project: Project, kit: Kit, examples: Artifact) -> Prospect:
    """What a model could be worth, from the examples that are not held out: the holdout stays unseen."""
    charter, contracts = project.charter, project.contracts
    columns = known.features(charter, contracts, examples.columns)
    queries = splitting.compile_split(charter, examples.columns, columns)
    files = {charter.decision.examples: kit.store.path(examples)}
    splitting.verify(queries, lambda sql: kit.engine.query(sql, files))
    sql = expressions.payoff_query(charter, examples.columns, contracts, rows=f"({queries.rest})")
    answer = kit.engine.query(sql, files)
    expressions.refuse_unusable(charter, answer)
    seed = int(hashing.of_text(examples.id)[:12], 16)
    return prospect.prospect(charter, money.rows_of(charter, answer), seed=seed)


def after(record: RunRecord, kit: Kit, contracts: Iterable[Contract]) -> Findings | None:
    """What carries the gain of a run's model, and what its verdict hangs on; None when the run did not get to a value.

    The same model on the same holdout: no further look.
    """
    charter, valuation = record.charter, record.valuation
    holdout = _holdout(record)
    if charter is None or valuation is None or record.predictions is None or holdout is None:
        return None
    files = {"holdout": kit.store.path(holdout), "predictions": kit.store.path(record.predictions)}
    contracts = tuple(contracts)

    def query(sql: str) -> pa.Table:
        return kit.engine.query(sql, files)

    answer = query(expressions.payoff_query(charter, holdout.columns, contracts))
    place = f"(select {column(charter.decision.id)} as id, row_number() over () as place from holdout)"
    predictions = query(f"select predictions.* from {place} join predictions using (id) order by place")
    return explain.explain(
        charter,
        valuation,
        money.rows_of(charter, answer, {name: predictions[f"p_{name}"].to_numpy() for name in charter.outcomes}),
        run=record.run,
        labels=groups.labels(charter, contracts, holdout, query),
        numbers=[_number(charter, knob, query) for knob in knobs.knobs(charter)],
        seed=seed_of(holdout.id),
    )


def _number(charter: Charter, knob: knobs.Knob, query: Callable[[str], pa.Table]) -> explain.Number:
    def asked(factor: float) -> list[Any]:
        cells = knobs.moved(charter, knob, factor)
        listed = ", ".join(f"cast({sql} as double) as c{number}" for number, sql in enumerate(cells.values()))
        return [each.to_numpy() for each in query(f"select {listed} from holdout").columns]

    return explain.Number(knob.name, knob.value, knob.line, tuple(knobs.moved(charter, knob, 1.0)), asked)


def _holdout(record: RunRecord) -> Artifact | None:
    split = next((stage for stage in record.stages if stage.name == "split"), None)
    kept = split.extra.get("holdout") if split else None
    return msgspec.convert(kept, Artifact) if kept else None
