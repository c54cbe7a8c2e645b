"""From tables to the numbers of the value room and back, where the action is a quantity."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base.errors import Refused, UserError, Where
from payoff.base.text import count
from payoff.data import expressions, predictions
from payoff.data.names import column
from payoff.ports.store import was
from payoff.records.artifact import Artifact
from payoff.value import fairness, quantities, valuation
from payoff.value.rows import blocks
from payoff.value.worth import forecasts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa

    from payoff.execute.aside import Trial
    from payoff.execute.money import Scored
    from payoff.ports.kit import Kit
    from payoff.records.charter import Charter
    from payoff.records.evidence import Valuation
    from payoff.records.project import Step
    from payoff.records.run import RunRecord
    from payoff.value.worth.prospect import Simulate

    Floats = Any

_CAME, _ALL = "payoff:came", "payoff:all"  # the columns of an outcome that is supposed, and of all those of a row


class Supposed:
    """n rows of decisions with outcomes that are supposed, the same number m for each: what each quantity would be worth."""

    def __init__(self, charter: Charter, kit: Kit, file: Path, outcomes: Floats) -> None:
        self._charter, self._kit, self._file = charter, kit, file
        self._rows, self._number = outcomes.shape
        self._together = quantities.together(self._rows, len(charter.actions))

    def money(self, sql: str | None = None) -> Iterator[Floats]:
        """The money (n, some, a) under some of the supposed outcomes after the others, in their order; `sql` is the charter's expression or the
        same with a number moved.
        """
        listed = ", ".join(
            expressions.quantity_money(self._charter, quantities.spec_of(self._charter), column(_CAME), sql)
        )
        for first in range(0, self._number, self._together):
            some = min(self._together, self._number - first)
            came = f"unnest({column(_ALL)}[{first + 1}:{first + some}]) as {column(_CAME)}"
            asked = f"select {listed} from (select *, {came} from supposed)"
            yield matrix(self._kit.engine.query(asked, {"supposed": self._file})).reshape(self._rows, some, -1)

    def expected(self, sql: str | None = None) -> Floats:
        """The mean over the supposed outcomes, (n, a)."""
        return quantities.mean(self.money(sql))


@contextmanager
def supposing(charter: Charter, kit: Kit, rows: pa.Table, outcomes: Floats) -> Iterator[Supposed]:
    """Put supposed outcomes, (n, m), beside rows (n)."""
    import pyarrow as pa

    file = kit.store.scratch("supposed")
    flat = pa.array(outcomes.ravel())
    places = pa.array(range(0, outcomes.size + 1, outcomes.shape[1]), pa.int64())
    kit.engine.write(rows.append_column(_ALL, pa.LargeListArray.from_arrays(places, flat)).to_reader(), file)
    try:
        yield Supposed(charter, kit, file, outcomes)
    finally:
        file.unlink(missing_ok=True)


def value(
    charter: Charter,
    step: Step,
    scored: Scored,
    kit: Kit,
    table: pa.Table,
    *,
    looked: int,
    holdout: str,
    labels: Mapping[str, Any],
) -> tuple[Valuation, pa.RecordBatchReader]:
    """As `money.value`; `table` is the holdout, in the same order of rows."""
    rows = scored.rows
    said = predictions.quantities(charter, step, scored.scores, scored.classes, rows=rows.num_rows).to_numpy()
    hoped = _hoped(charter, step, scored.trial, kit, table, said)
    made = rows_of(charter, rows, said, hoped)
    valued = valuation.value_holdout(charter, made, looked=looked, holdout=holdout)
    groups = fairness.by_group(
        valued, labels, per_year=charter.decision.per_year, seed=valuation.seed_of(holdout), clusters=made.clusters
    )
    return msgspec.structs.replace(valued.valuation, groups=groups), _table(charter, rows, said, valued)


def _hoped(charter: Charter, step: Step, trial: Trial | None, kit: Kit, table: pa.Table, said: Floats) -> Floats:
    if charter.gives == "action":
        return quantities.chosen(charter, said)
    seen, came = errors(charter, step, trial)
    with supposing(charter, kit, table, scenarios(charter, said, seen, came)) as supposed:
        return _sound(charter, supposed.expected(), table)


def scenarios(charter: Charter, said: Floats, seen: Floats, came: Floats) -> Floats:
    """The outcomes (n, number) that forecasts (n,) stand for."""
    return quantities.scenarios(said, seen, came, number=quantities.how_many(len(said), len(charter.actions)))


def _sound(charter: Charter, hoped: Floats, table: pa.Table) -> Floats:
    bad = quantities.unsound(hoped)
    if bad:
        listed = ", ".join(str(each) for each in table[charter.decision.id].take(bad[:5]).to_pylist())
        raise UserError(
            f"payoff.quantity is no amount for {count(len(bad), 'row')} under an outcome that did not come but could"
            f" ({charter.decision.id} {listed}{', ...' if len(bad) > 5 else ''})",
            code="PO-D031",
            expected="an amount for every outcome that can come, not only for those that came",
            remedy="write what such rows are worth into it, as with coalesce(a / nullif(b, 0), 0)",
            where=Where(charter.file, charter.quantity.line if charter.quantity else 0),
        )
    return hoped


def errors(charter: Charter, step: Step, trial: Trial | None) -> tuple[Floats, Floats]:
    """What the model's second fit said of the part of train that was set aside, (m,), and what came, (m,)."""
    if trial is None or trial.scores is None:
        raise Refused(
            f"it is not known how far the forecasts are off: {trial.reason if trial else 'nothing was set aside of train'}",
            code="PO-V011",
            expected="a model that can be fitted without a fifth of train, and 200 rows in that: a quantity is chosen for what may come, not for the"
            " forecast alone",
            remedy=f'mend the step {step.name}, give it more rows, or let it choose the quantity itself: gives = "action" under [model] in'
            f" {charter.file}",
            where=Where(charter.file),
        )
    rows = trial.outcomes.num_rows
    said = predictions.quantities(charter, step, trial.scores, trial.classes, rows=rows)
    came = trial.outcomes["outcome"].to_numpy()
    if bad := quantities.unsound(came):
        raise UserError(
            f"{charter.decision.outcome.column} is no number for {count(len(bad), 'row')} of train",
            code="PO-D033",
            expected="a number in every row: the action is a quantity, and so is its outcome",
            remedy=f"make the step {charter.decision.examples} deliver numbers",
            where=Where(charter.file),
        )
    return said.to_numpy(), came


def errors_again(record: RunRecord, charter: Charter, kit: Kit) -> tuple[Floats, Floats]:
    """The same of a run of before, from what is kept of it."""
    stages = {stage.name: stage for stage in record.stages}
    try:
        rows = msgspec.convert(stages["set aside"].extra["rows"], Artifact)
        scores = msgspec.convert(msgspec.to_builtins(stages["try out"].output), Artifact)
        lost = next((f"the table {was(kit.store, each)}" for each in (rows, scores) if not kit.store.has(each)), "")
    except (KeyError, msgspec.ValidationError):
        lost = "the run did not write it down"
    if lost:
        raise UserError(
            f"it is not known any more how far the forecasts of run {record.run} were off: {lost}",
            code="PO-V012",
            expected="the part of train that was set aside in that run, and what its second fit forecast there",
            remedy="payoff run --force, and name that run",
        )
    files = {"rows": kit.store.path(rows), "scores": kit.store.path(scores)}
    said = kit.engine.query("select * from scores", files).column(0)
    came = kit.engine.query(f"select {expressions.outcome_sql(charter)} as outcome from rows", files)["outcome"]
    return said.to_numpy(), came.to_numpy()


def rows_of(
    charter: Charter, rows: pa.Table, said: Floats | None = None, hoped: Floats | None = None
) -> quantities.Quantities:
    """The answer of `expressions.payoff_query` as numbers, with a model's forecasts where there are some."""
    quantity = quantities.spec_of(charter)
    return quantities.Quantities(
        worth=matrix(rows.select([f"payoff:{number}" for number in range(len(charter.actions))])),
        outcomes=rows["outcome"].to_numpy(),
        rules={
            s.name: quantities.nearest(quantity, rows[f"rule:{s.name}"].to_numpy())
            for s in charter.common_solutions
            if s.sql is not None
        },
        hoped=hoped,
        forecasts=said,
        clusters=units(rows),
    )


def units(rows: pa.Table) -> Any:
    """Codes of what is drawn together: what rows share, or neighbours in time."""
    if "moment" in rows.column_names:
        return blocks(rows["moment"].to_numpy())
    if "cluster" in rows.column_names:
        return rows["cluster"].combine_chunks().dictionary_encode().indices.to_numpy()
    return None


def simulated(charter: Charter, kit: Kit, made: quantities.Quantities, table: pa.Table, *, seed: int) -> Simulate:
    """The break-even curve of forecasts, for `prospect`; `table` has the rows, in the same order."""

    def simulate(known: Floats, common: Floats, asked: float) -> Any:
        places, values, edges = forecasts.plan(made.outcomes, known.shape[1])
        rows = table.take(places)
        with supposing(charter, kit, rows, forecasts.everywhere(places, values)) as supposed:
            sample = forecasts.sample(places, values, edges, [_sound(charter, some, rows) for some in supposed.money()])
        year = charter.decision.per_year
        return forecasts.break_even(sample, made.outcomes, known, common, asked=asked, per_year=year, seed=seed)

    return simulate


def matrix(answer: pa.Table) -> Floats:
    """Columns of money as one array (n, a)."""
    return quantities.matrix([each.to_numpy() for each in answer.columns])


def _table(charter: Charter, rows: pa.Table, said: Floats, valued: valuation.Valued) -> pa.RecordBatchReader:
    """`id`, `outcome`, `prediction`, `action`, `payoff` (of that action) and `best_action`, `best_payoff` (in hindsight)."""
    import pyarrow as pa

    told = quantities.told(charter, valued)
    return pa.table({"id": rows["id"], "outcome": rows["outcome"], "prediction": said, **told}).to_reader()
