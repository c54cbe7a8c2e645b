"""Judges what a model predicted before any money is counted on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from payoff.base.errors import UserError, Where
from payoff.base.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payoff.records.charter import Charter
    from payoff.records.project import Step

_FAR = 1e-3  # how far a row's probabilities may add up from 1


def probabilities(
    charter: Charter, step: Step, scores: pa.Table, classes: Sequence[Any] | None, *, rows: int
) -> dict[str, pa.ChunkedArray]:
    """Per outcome of the charter the column of its probabilities, after every way in which they could be wrong was looked for."""
    where = Where(step.file, step.line)
    if scores.num_rows != rows:
        raise _error(
            step,
            where,
            "PO-D050",
            f"predicted {count(scores.num_rows, 'row')} for {rows:,}",
            "one prediction for each row",
        )
    for name, values in zip(scores.column_names, scores.columns, strict=True):
        bad = rows - (pc.sum(pc.fill_null(pc.is_finite(values), False)).as_py() or 0)
        if bad:
            what = f"predicted no number (NaN or infinite) for {count(bad, 'row')} in {name}"
            raise _error(step, where, "PO-D051", what, "a finite number for every row")
        outside = pc.sum(pc.or_(pc.less(values, 0.0), pc.greater(values, 1.0))).as_py() or 0
        if outside:
            what = f"predicted {count(outside, 'value')} outside 0 to 1 in {name}"
            raise _error(step, where, "PO-D052", what, "probabilities (or calls of predict_proba), between 0 and 1")
    named = _by_outcome(charter, step, scores, classes, where)
    total = named[charter.outcomes[0]]
    for name in charter.outcomes[1:]:
        total = pc.add(total, named[name])
    far = pc.sum(pc.greater(pc.abs(pc.subtract(total, 1.0)), _FAR)).as_py() or 0
    if far:
        what = f"predicted probabilities that do not add up to 1 for {count(far, 'row')}"
        raise _error(step, where, "PO-D053", what, "the probabilities of all outcomes, adding up to 1 in every row")
    return named


def quantities(
    charter: Charter, step: Step, scores: pa.Table, classes: Sequence[Any] | None, *, rows: int
) -> pa.ChunkedArray:
    """The number that the model gives for each row: its forecast of the outcome, or the action."""
    where = Where(step.file, step.line)
    if scores.num_rows != rows:
        what = f"predicted {count(scores.num_rows, 'row')} for {rows:,}"
        raise _error(step, where, "PO-D050", what, "one prediction for each row")
    if classes is not None or scores.num_columns != 1:
        what = "predicts probabilities; the action is a quantity"
        raise _error(step, where, "PO-D054", what, "one number for each row (a regression)")
    values = scores.column(0)
    bad = rows - (pc.sum(pc.fill_null(pc.is_finite(values), False)).as_py() or 0)
    if bad:
        what = f"predicted no number (NaN or infinite) for {count(bad, 'row')}"
        raise _error(step, where, "PO-D051", what, "a finite number for every row")
    return values


def _by_outcome(
    charter: Charter, step: Step, scores: pa.Table, classes: Sequence[Any] | None, where: Where
) -> dict[str, pa.ChunkedArray]:
    spec, outcomes = charter.decision.outcome, charter.outcomes
    binary = len(outcomes) == 2
    if classes is None:
        if not binary:
            raise _error(
                step,
                where,
                "PO-D054",
                f"predicts one number for {len(outcomes)} outcomes",
                "one probability per outcome",
            )
        positive = scores.column(0)
        return {outcomes[0]: positive, outcomes[1]: pc.subtract(1.0, positive)}
    given = [str(each).lower() for each in classes]
    columns = dict(zip(given, scores.columns, strict=True))
    if binary:
        wanted = _spellings(spec.positive)
        match = [name for name in given if name in wanted or name == spec.name.lower()]
        if len(given) == 2 and len(match) == 1:
            other = next(name for name in given if name != match[0])
            return {outcomes[0]: columns[match[0]], outcomes[1]: columns[other]}
    elif set(given) == {name.lower() for name in outcomes}:
        return {name: columns[name.lower()] for name in outcomes}
    said = ", ".join(str(each) for each in list(classes)[:8])
    raise _error(
        step,
        where,
        "PO-D055",
        f"knows the classes {said}; the charter's outcomes are {', '.join(outcomes)}",
        f"one class per outcome (positive: {spec.positive})",
    )


def _spellings(positive: bool | int | str | None) -> set[str]:
    """How a positive outcome may be spelled by a model: True is also 1."""
    text = str(positive).lower()
    same = {
        "true": {"true", "1", "1.0"},
        "1": {"1", "true", "1.0"},
        "false": {"false", "0", "0.0"},
        "0": {"0", "false", "0.0"},
    }
    return same.get(text, {text})


def _error(step: Step, where: Where, code: str, what: str, expected: str) -> UserError:
    return UserError(
        f"the model of step {step.name} {what}",
        code=code,
        expected=expected,
        remedy=f"mend the model in {step.file}: payoff run --only {step.name} makes it alone",
        where=where,
    )
