"""From tables to what a model could be worth, and to what carries the worth of one that is there."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from payoff.base import hashing
from payoff.data import expressions, groups, knobs, known
from payoff.data import split as splitting
from payoff.data.names import column
from payoff.execute import money, quantities
from payoff.records.artifact import Artifact
from payoff.value import quantities as quantity
from payoff.value.valuation import seed_of
from payoff.value.worth import explain, prospect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pyarrow as pa

    from payoff.ports.kit import Kit
    from payoff.records.answers.worth import Findings, Prospect
    from payoff.records.charter import Charter
    from payoff.records.contract import Contract
    from payoff.records.evidence import Valuation
    from payoff.records.project import Project
    from payoff.records.run import RunRecord
    from payoff.value.rows import Rows


def before(project: Project, kit: Kit, examples: Artifact) -> Prospect:
    """What a model could be worth, from the examples that are not held out: the holdout stays unseen."""
    charter, contracts = project.charter, project.contracts
    columns = known.features(charter, contracts, examples.columns)
    queries = splitting.compile_split(charter, examples.columns, columns)
    files = {charter.decision.examples: kit.store.path(examples)}
    splitting.verify(queries, lambda sql: kit.engine.query(sql, files))
    sql = expressions.payoff_query(charter, examples.columns, contracts, rows=f"({queries.rest})")
    if charter.quantity is not None:
        counted = kit.engine.query(f"select count(*) as rows from ({queries.rest})", files)
        quantity.refuse_many(charter, counted["rows"][0].as_py())
    answer = kit.engine.query(sql, files)
    expressions.refuse_unusable(charter, answer)
    seed = int(hashing.of_text(examples.id)[:12], 16)
    if charter.quantity is not None:
        made = quantities.rows_of(charter, answer)
        table = kit.engine.query(queries.rest, files)
        return prospect.prospect(charter, made, quantities.simulated(charter, kit, made, table, seed=seed), seed=seed)
    rows = money.rows_of(charter, answer)
    return prospect.prospect(charter, rows, prospect.simulated(charter, rows, seed=seed), seed=seed)


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
    labels = groups.labels(charter, contracts, holdout, query)
    how: dict[str, Any] = {"run": record.run, "labels": labels, "seed": seed_of(holdout.id)}
    if charter.quantity is not None:
        return _after_quantities(record, charter, valuation, kit, _Asked(answer, predictions, query), how)
    rows = money.rows_of(charter, answer, {name: predictions[f"p_{name}"].to_numpy() for name in charter.outcomes})
    numbers = [_number(charter, knob, rows, query) for knob in knobs.knobs(charter)]
    return explain.explain(charter, valuation, rows, numbers=numbers, **how)


class _Asked(NamedTuple):
    """The holdout's rows, the model's predictions for them in the same order, and how to ask further."""

    rows: pa.Table
    predictions: pa.Table
    query: Callable[[str], pa.Table]


def _number(charter: Charter, knob: knobs.Knob, rows: Rows, query: Callable[[str], pa.Table]) -> explain.Number:
    def asked(factor: float) -> tuple[Any, Any]:
        cells = knobs.moved(charter, knob, factor)
        listed = ", ".join(f"{expressions.amount_sql(sql)} as c{number}" for number, sql in enumerate(cells.values()))
        found = [each.to_numpy() for each in query(f"select {listed} from holdout").columns]
        payoffs = {**rows.payoffs, **dict(zip(cells, found, strict=True))}
        moved = dataclasses.replace(rows, payoffs=payoffs)
        return moved.known(charter), moved.expected(charter)

    return explain.Number(knob.name, knob.value, knob.line, asked)


def _after_quantities(
    record: RunRecord, charter: Charter, valuation: Valuation, kit: Kit, asked: _Asked, how: dict[str, Any]
) -> Findings:
    """The same where the action is a quantity: the outcomes that each forecast stood for are supposed again."""
    said = asked.predictions["prediction"].to_numpy()
    if charter.gives == "action":
        hoped = quantity.chosen(charter, said)
        rows = quantities.rows_of(charter, asked.rows, said, hoped)
        return explain.explain(
            charter, valuation, rows, numbers=_quantity_numbers(charter, asked, lambda _: hoped), **how
        )
    seen, came = quantities.errors_again(record, charter, kit)
    outcomes = quantities.scenarios(charter, said, seen, came)
    with quantities.supposing(charter, kit, asked.query("select * from holdout"), outcomes) as supposed:
        rows = quantities.rows_of(charter, asked.rows, said, supposed.expected())
        return explain.explain(
            charter, valuation, rows, numbers=_quantity_numbers(charter, asked, supposed.expected), **how
        )


def _quantity_numbers(charter: Charter, asked: _Asked, hoped: Callable[[str], Any]) -> list[explain.Number]:
    return [_quantity_number(charter, knob, asked, hoped) for knob in knobs.knobs(charter)]


def _quantity_number(charter: Charter, knob: knobs.Knob, asked: _Asked, hoped: Callable[[str], Any]) -> explain.Number:
    def money_of(factor: float) -> tuple[Any, Any]:
        (sql,) = knobs.moved(charter, knob, factor).values()
        outcome = expressions.outcome_sql(charter)
        listed = ", ".join(expressions.quantity_money(charter, quantity.spec_of(charter), outcome, sql))
        return quantities.matrix(asked.query(f"select {listed} from holdout")), hoped(sql)

    return explain.Number(knob.name, knob.value, knob.line, money_of)


def _holdout(record: RunRecord) -> Artifact | None:
    split = next((stage for stage in record.stages if stage.name == "split"), None)
    kept = split.extra.get("holdout") if split else None
    return msgspec.convert(kept, Artifact) if kept else None
