"""From tables to the numbers of the value room and back."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from payoff.base.errors import UserError
from payoff.data import predictions
from payoff.execute.quantities import units
from payoff.records.evidence import Calibration
from payoff.value import fairness, valuation
from payoff.value.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from payoff.execute.aside import Trial
    from payoff.records.artifact import Artifact
    from payoff.records.charter import Charter
    from payoff.records.evidence import Valuation
    from payoff.records.project import Step


class Scored(NamedTuple):
    """`rows` is the answer of `expressions.payoff_query`, `scores` the model's table in the same order of rows, `trial` what was found out on
    train alone.
    """

    rows: pa.Table
    scores: pa.Table
    classes: Sequence[Any] | None
    trial: Trial | None


def value(
    charter: Charter, step: Step, scored: Scored, *, looked: int, holdout: str, labels: Mapping[str, Any]
) -> tuple[Valuation, pa.RecordBatchReader]:
    """Judge the predictions, value the decisions, and answer with the valuation and the table of scored rows.

    `labels` are the groups of the charter's segments, in the same order of rows.
    """
    rows = scored.rows
    given = predictions.probabilities(charter, step, scored.scores, scored.classes, rows=rows.num_rows)
    found = None if scored.trial is None else _calibration(charter, step, scored.trial)
    chance = {name: each.to_numpy() for name, each in given.items()}
    if found is not None and found.applied:
        from payoff.value.correction import corrected

        chance = corrected(found, chance)
    made = rows_of(charter, rows, chance)
    valued = valuation.value_holdout(charter, made, looked=looked, holdout=holdout)
    groups = fairness.by_group(
        valued,
        labels,
        per_year=charter.decision.per_year,
        seed=valuation.seed_of(holdout),
        clusters=made.clusters,
    )
    judged = msgspec.structs.replace(valued.valuation, groups=groups, calibration=found)
    return judged, _table(charter, rows, chance, valued.actions, valued.payoffs)


def _calibration(charter: Charter, step: Step, trial: Trial) -> Calibration:
    """How far the model's probabilities can be trusted, from its second fit's on what was set aside of train."""
    if trial.scores is None:
        return Calibration(reason=trial.reason)
    from payoff.value import calibration

    try:
        given = predictions.probabilities(charter, step, trial.scores, trial.classes, rows=trial.outcomes.num_rows)
    except UserError as error:
        return Calibration(rows=trial.outcomes.num_rows, reason=f"the second fit {error.what}")
    outcomes = _coded(trial.outcomes["outcome"], {name: code for code, name in enumerate(charter.outcomes)})
    return calibration.examine({name: each.to_numpy() for name, each in given.items()}, outcomes)


def get_ready(charter: Charter, holdout: Artifact) -> None:
    """What can be done of `value` before there are predictions."""
    if charter.recalibrate != "never":
        importlib.import_module("payoff.value.calibration")
    if charter.split.by != "time" and charter.split.on == charter.decision.id:
        valuation.get_ready(holdout.id, holdout.rows or 0)


def rows_of(charter: Charter, rows: pa.Table, chances: Mapping[str, Any] | None = None) -> Rows:
    """The answer of `expressions.payoff_query` as numbers, with a model's probabilities where there are some."""
    actions = {name: code for code, name in enumerate(charter.actions)}
    return Rows(
        payoffs={(c.action, c.outcome): rows[f"payoff:{c.action}:{c.outcome}"].to_numpy() for c in charter.cells},
        outcomes=_coded(rows["outcome"], {name: code for code, name in enumerate(charter.outcomes)}),
        rules={s.name: _coded(rows[f"rule:{s.name}"], actions) for s in charter.common_solutions if s.sql is not None},
        chances=chances or {},
        clusters=units(rows),
        within=_clusters(rows["within"]) if "within" in rows.column_names else None,
        costs=rows["capacity:cost"].to_numpy() if "capacity:cost" in rows.column_names else None,
    )


def _clusters(column: pa.ChunkedArray) -> Any:
    """Codes of what rows share: customers, households."""
    return column.combine_chunks().dictionary_encode().indices.to_numpy()


def _coded(column: pa.ChunkedArray, codes: dict[str, int]) -> Any:
    """Codes of a column of names."""
    from payoff.value.codes import encode

    return encode(column.to_numpy(), codes)


def _table(
    charter: Charter, rows: pa.Table, chance: Mapping[str, Any], actions: Any, payoffs: Any
) -> pa.RecordBatchReader:
    """`id`, `outcome`, one `p_<outcome>` each, `action`, one `payoff_<action>` each."""
    import pyarrow as pa  # already imported by the engine when there are rows

    columns: dict[str, Any] = {"id": rows["id"], "outcome": rows["outcome"]}
    columns |= {f"p_{name}": each for name, each in chance.items()}
    columns["action"] = pa.DictionaryArray.from_arrays(pa.array(actions, pa.int32()), pa.array(charter.actions)).cast(
        pa.string()
    )
    columns |= {f"payoff_{name}": payoffs[:, number] for number, name in enumerate(charter.actions)}
    return pa.table(columns).to_reader()
