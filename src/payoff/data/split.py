"""Cuts the examples into `train` and the holdout, the same way on every machine and in every order of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from payoff.base import hashing
from payoff.base.errors import UserError, Where
from payoff.base.text import count, did_you_mean
from payoff.data.names import column, value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from payoff.records.artifact import Artifact
    from payoff.records.charter import Charter

_BUCKETS = 1_000_000


class SplitQueries(msgspec.Struct, frozen=True, kw_only=True):
    """SQL over the examples: `train` (features and outcome), `holdout` (all columns), `rest` (all columns of the rows that are not held
    out), `census` (one row that says whether it can be judged).
    """

    train: str
    holdout: str
    rest: str
    census: str
    charter: object
    examples: str


def compile_split(charter: Charter, columns: Sequence[str], features: Sequence[str]) -> SplitQueries:
    """The queries of a charter's split over examples with these columns.

    Both sides are sorted by the decision's id: training (folds, batches) and resampling depend on the order of rows.
    """
    decision, split = charter.decision, charter.split
    for name, what in (
        (decision.id, "decision.id"),
        (decision.outcome.column, "decision.outcome.column"),
        (split.on, "split.on"),
        (decision.at or decision.id, "decision.at"),
        ((charter.capacity.within if charter.capacity else None) or decision.id, "capacity.within"),
    ):
        if name not in columns:
            raise UserError(
                f"{decision.examples} has no column {name!r}, which the charter names as {what}",
                code="PO-D020",
                expected=did_you_mean(name, columns),
                remedy=f"correct {what} in {charter.file}, or make {decision.examples} deliver {name}",
                where=Where(charter.file),
            )
    condition = held(charter)
    table = column(decision.examples)
    chosen = ", ".join(column(name) for name in features)
    identity, outcome = column(decision.id), column(decision.outcome.column)
    kinds = f"count(distinct lower(cast({outcome} as varchar)))" if len(charter.outcomes) == 2 else "0"
    census = (
        f"select count(*) as rows, count({identity}) as ids, count(distinct {identity}) as distinct_ids,"
        f" count(*) filter ({_said(charter)}) as outcomes, {kinds} as kinds,"
        f" count({column(split.on)}) as keys,"
        f" count(*) filter ({condition}) as held, count(distinct {outcome}) filter ({condition}) as held_kinds,"
        f" count(distinct {outcome}) filter (not {condition}) as train_kinds,"
        f" count(*) filter ({condition} and {positive(charter)}) as held_positive,"
        f" count(*) filter (not {condition} and {positive(charter)}) as train_positive from {table}"
    )
    return SplitQueries(
        train=f"select {chosen} from {table} where not {condition} order by {identity}",
        holdout=f"select * from {table} where {condition} order by {identity}",
        rest=f"select * from {table} where not {condition} order by {identity}",
        census=census,
        charter=charter,
        examples=decision.examples,
    )


def verify(queries: SplitQueries, query: Callable[[str], pa.Table]) -> None:
    """See in one scan that the examples can be judged on; every reason why not is an error, nothing is dropped."""
    charter: Charter = queries.charter  # type: ignore[assignment]
    seen = {name: int(column[0].as_py()) for name, column in zip(*_columns(query(queries.census)), strict=True)}
    for what, expected, remedy in _faults(charter, seen):
        raise UserError(
            f"{charter.decision.examples}: {what}",
            code="PO-D021",
            expected=expected,
            remedy=remedy,
            where=Where(charter.file),
        )


def holdout_identity(charter: Charter, examples: Artifact) -> str:
    """What names the holdout when looks at it are counted: the examples' content and how they are cut."""
    return hashing.of_json([examples.id, msgspec.to_builtins(charter.split), charter.decision.id])


def held(charter: Charter) -> str:
    """The condition that a row is in the holdout: by a share of hashed keys (MD5, so that no engine's own hash matters), or by time."""
    split = charter.split
    if split.by == "time":
        return f"({column(split.on)} >= {value(split.from_)})"
    return by_share(split.on, split.holdout or 0.0, split.salt)


def by_share(on: str, share: float, salt: str) -> str:
    """The condition that holds for a share (0-1) of the values of a column."""
    key = f"md5({value(salt)} || '|' || cast({column(on)} as varchar))"
    return f"(cast('0x' || substr({key}, 1, 12) as bigint) % {_BUCKETS} < {round(share * _BUCKETS)})"


def positive(charter: Charter) -> str:
    """The condition that a row has the positive outcome; false where the outcome is a quantity.

    True is also 1, and 1 is also 1.0: which of them a table has is chance, as it went through a file or a library that knows no booleans.
    """
    spec = charter.decision.outcome
    if spec.positive is None:
        return "false"
    name = column(spec.column)
    same = f"lower(cast({name} as varchar)) = {value(str(spec.positive).lower())}"
    if isinstance(spec.positive, str):
        return same
    return f"({same} or coalesce(try_cast({name} as double) = {int(spec.positive)}, false))"


def _said(charter: Charter) -> str:
    """The condition that a row has an outcome: neither NULL nor what stands for it where a library or a file knows none.

    Of quantities that are no numbers the ids are told, see `expressions.refuse_unusable`.
    """
    name = column(charter.decision.outcome.column)
    if charter.quantity is not None:
        return f"{name} is not null"
    return f"lower(trim(cast({name} as varchar))) not in ('', 'nan')"


def _one_sided(charter: Charter, seen: dict[str, int]) -> str:
    """Which outcome is the only one, on which side of the split, in how many rows."""
    spec, names = charter.decision.outcome, charter.outcomes
    sides, parts = [], []
    for side, rows, kinds, positive in (
        ("the holdout", seen["held"], seen["held_kinds"], seen["held_positive"]),
        ("train", seen["rows"] - seen["held"], seen["train_kinds"], seen["train_positive"]),
    ):
        if kinds < 2 and charter.quantity is not None:
            sides.append(side)
            parts.append(f"{count(rows, 'row')} of {side} with one and the same number")
        elif kinds < 2 or (len(names) == 2 and positive in {0, rows}):
            only = spec.name if positive else (names[1] if len(names) == 2 else f"one outcome other than {spec.name}")
            sides.append(side)
            parts.append(f"all {count(rows, 'row')} of {side} are {only}")
    return f"every outcome ({spec.column}) is the same in {' and in '.join(sides)}: {', '.join(parts)}"


def _columns(answer: pa.Table) -> tuple[list[str], list[pa.ChunkedArray]]:
    return answer.column_names, answer.columns


def _faults(charter: Charter, seen: dict[str, int]) -> list[tuple[str, str, str]]:
    decision, split = charter.decision, charter.split
    rows, examples = seen["rows"], decision.examples
    missing_ids, missing_outcomes = rows - seen["ids"], rows - seen["outcomes"]
    two = len(charter.outcomes) == 2
    one_sided = seen["held_positive"] in {0, seen["held"]} or seen["train_positive"] in {0, rows - seen["held"]}
    faults: list[tuple[bool, str, str, str]] = [
        (rows == 0, "it has no rows", "at least one decision", f"see what {examples} reads: payoff show latest"),
        (
            missing_ids > 0,
            f"{count(missing_ids, 'row')} without {decision.id}",
            "an id in every row",
            f"give every row an id, or leave such rows out in the step {examples}",
        ),
        (
            seen["distinct_ids"] < seen["ids"],
            f"{count(seen['ids'] - seen['distinct_ids'], 'row')} repeat an id that another row has",
            f"one row per {decision.id}: each row is one decision",
            f"make {examples} one row per decision, or name the column that is",
        ),
        (
            missing_outcomes > 0,
            f"{count(missing_outcomes, 'row')} without an outcome ({decision.outcome.column})",
            "an outcome in every row: rows whose outcome is not known yet cannot be judged on",
            f"leave rows whose outcome is not known yet out in the step {examples}, and say so there",
        ),
        *_unclear(charter, seen),
        (
            seen["keys"] < rows,
            f"{count(rows - seen['keys'], 'row')} without {split.on}, by which they are split",
            f"a value of {split.on} in every row",
            "choose another column for split.on in the charter",
        ),
        (
            seen["held"] == 0,
            "the holdout is empty",
            "rows on both sides of the split",
            "raise split.holdout, or move split.from to an earlier date",
        ),
        (
            seen["held"] == rows,
            "nothing is left to train on",
            "rows on both sides of the split",
            "lower split.holdout, or move split.from to a later date",
        ),
        (
            min(seen["held_kinds"], seen["train_kinds"]) < 2 or (two and one_sided),
            _one_sided(charter, seen),
            "at least two different outcomes on both sides of the split",
            f"see whether the step {examples} filters on the outcome, or choose another split",
        ),
    ]
    return [(what, expected, remedy) for wrong, what, expected, remedy in faults if wrong]


def _unclear(charter: Charter, seen: dict[str, int]) -> list[tuple[bool, str, str, str]]:
    """Values of the outcome that are not plainly one of two."""
    if len(charter.outcomes) != 2:
        return []
    decision, names = charter.decision, " and ".join(charter.outcomes)
    return [
        (
            seen["kinds"] > 2,
            f"{decision.outcome.column} has {seen['kinds']:,} different values, and the charter names two outcomes",
            f"two values, {names}",
            f"name each value in the payoffs of {charter.file}, or make the step {decision.examples} deliver leave out what is not known",
        ),
        (
            seen["kinds"] > 1 and not seen["held_positive"] + seen["train_positive"],
            f"{decision.outcome.column} is {value(decision.outcome.positive)} in no row, which {charter.file} calls {decision.outcome.name}",
            f"rows of both outcomes, {names}",
            f"correct decision.outcome.positive in {charter.file}: it is the value as it stands in the column",
        ),
    ]
