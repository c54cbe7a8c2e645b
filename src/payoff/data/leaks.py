"""Ways in which a model could know what it must not: each is searched for in the split examples, in the engine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from payoff.base.text import count
from payoff.data.expressions import outcome_sql
from payoff.data.names import column, value
from payoff.data.split import positive
from payoff.records.evidence import Leak

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from payoff.records.artifact import Artifact
    from payoff.records.charter import Charter
    from payoff.records.contract import Contract

    Query = Callable[[str], pa.Table]

TWINS = 0.01  # share of the holdout that may have a twin in train
_ALIKE, _COPIES = 0.01, 3
FORETELLS = 0.95  # AUC of one column alone
FORETELLS_QUANTITY = 0.995  # rank correlation of one column alone: yesterday's sales say much of today's, and honestly
_ROWS, _FEW, _KINDS = 200_000, 20_000, 50
SHARED, _PER_KEY = 0.2, 20.0
_NUMBERS = ("int", "uint", "float", "double", "decimal", "bool", "date", "timestamp", "time")
_TIMES = ("date", "timestamp")
_KEYS = ("int", "uint", "string", "large_string")


class Search:
    """Looks through `train` and `holdout`, tables of the query."""

    def __init__(
        self, charter: Charter, contracts: Sequence[Contract], train: Artifact, holdout: Artifact, query: Query
    ) -> None:
        self.charter, self.contracts, self.query = charter, contracts, query
        self.train, self.holdout = train, holdout
        decision = charter.decision
        away = {decision.id, decision.outcome.column, charter.split.on}
        self.features = {each.name: each.type for each in train.fields if each.name not in away}
        self.explained = {
            each.name: each.why
            for contract in contracts
            for each in contract.columns
            if each.why and each.known == "before"
        }

    def leaks(self) -> tuple[Leak, ...]:
        """Everything suspicious, refused or explained."""
        if not self.train.rows or not self.holdout.rows or not self.features:
            return ()
        return (*self._duplicates(), *self._foretelling(), *self._time_travel(), *self._shared_keys())

    def _leak(self, kind: str, name: str, rows: int, of: int, figure: float, reason: str) -> Leak:
        why = self.explained.get(name, "")
        said = f"{reason}; its contract explains: {why}" if why else reason
        return Leak(kind=kind, column=name, rows=rows, of=of, figure=figure, reason=said, refused=not why)

    def _duplicates(self) -> Iterator[Leak]:
        """Rows of the holdout with a twin in train: the same in every column but the id.

        Where rows are alike by nature (few columns with few values) twins say nothing. By how much they are is estimated from the
        columns one by one, as if they had nothing to do with each other.
        """
        names = [column(name) for name in (*self.features, self.charter.decision.outcome.column)]
        parts = [
            f"select sum(n * n) / pow(sum(n), 2) as p from (select count(*) as n from few group by {name})"
            for name in names
        ]
        few = f"with few as (select * from train limit {_FEW}) "
        alike = math.prod(self.query(few + " union all ".join(parts))["p"].to_pylist())
        if (self.train.rows or 0) * alike >= _ALIKE:
            return
        key = f"hash({', '.join(names)})"
        rows = int(
            self._one(
                f"with t as (select {key} as k, count(*) as n from train group by 1)"
                f" select count(*) from (select {key} as k from holdout) h join t using (k) where n <= {_COPIES}"
            )
        )
        share = rows / (self.holdout.rows or 1)
        if share > TWINS:
            reason = (
                f"{count(rows, 'row')} of the {self.holdout.rows:,} held out are in train too, under another {self.charter.decision.id}:"
                " the model is judged on what it has seen"
            )
            yield self._leak("duplicates", self.charter.decision.id, rows, self.holdout.rows or 0, share, reason)

    def _foretelling(self) -> Iterator[Leak]:
        """Columns that tell the outcome apart nearly alone (the AUC of each, ties counted half; missing values lowest)."""
        if self.charter.quantity is not None:
            yield from self._foretelling_quantity()
            return
        wanted = {name: kind for name, kind in self.features.items() if kind.startswith((*_NUMBERS, *_KEYS))}
        kinds = self._kinds([name for name, kind in wanted.items() if not kind.startswith(_NUMBERS)])
        parts = []
        for name, kind in wanted.items():
            groups, order = _counts(column(name)), "x nulls first"
            if not kind.startswith(_NUMBERS):
                order = "p / (p + q)"  # words in the order of how often the outcome comes with them
                if kinds[name] > _KINDS:
                    groups, order = _halves(column(name)), "x"
            parts.append(
                f"select {value(name)} as name, sum(p * (below - q / 2)) / nullif(sum(p) * sum(q), 0) as auc from"
                f" (select p, q, sum(q) over (order by {order} rows unbounded preceding) as below from ({groups}))"
            )
        if not parts:
            return
        half = "hash(row_number() over ()) % 2 = 0 as first"
        few = f"with few as (select *, {positive(self.charter)} as y, {half} from train limit {_ROWS}) "
        answer = self.query(few + " union all ".join(parts))
        for name, auc in zip(answer["name"].to_pylist(), answer["auc"].to_pylist(), strict=True):
            if auc is not None and max(auc, 1 - auc) >= FORETELLS:
                apart = max(auc, 1 - auc)
                reason = f"{name} alone tells the outcome apart in {100 * apart:.1f} of 100 pairs: is it known when the decision is taken?"
                yield self._leak("foretells", name, 0, self.train.rows or 0, apart, reason)

    def _foretelling_quantity(self) -> Iterator[Leak]:
        """Columns that put the rows into nearly the order of the outcome (Spearman's rank correlation)."""
        outcome = outcome_sql(self.charter)
        wanted = [name for name, kind in self.features.items() if kind.startswith(_NUMBERS)]
        parts = [
            f"select {value(name)} as name, corr(a, b) as rho from (select rank() over (order by x) as a, rank() over (order by y) as b from"
            f" (select {column(name)} as x, y from few where {column(name)} is not null))"
            for name in wanted
        ]
        if not parts:
            return
        few = f"with few as (select *, {outcome} as y from train limit {_FEW}) "
        answer = self.query(few + " union all ".join(parts))
        for name, rho in zip(answer["name"].to_pylist(), answer["rho"].to_pylist(), strict=True):
            if rho is not None and abs(rho) >= FORETELLS_QUANTITY:
                reason = f"{name} alone puts the rows in the order of the outcome (rank correlation {rho:.4f}): is it known when the decision is taken?"
                yield self._leak("foretells", name, 0, self.train.rows or 0, abs(rho), reason)

    def _time_travel(self) -> Iterator[Leak]:
        """Times later than the decision."""
        at = self.charter.decision.at
        names = [name for name, kind in self.features.items() if kind.startswith(_TIMES) and name != at]
        if at is None or not names:
            return
        parts = ", ".join(
            f"count(*) filter (where {column(name)} > {column(at)}) as c{number}" for number, name in enumerate(names)
        )
        listed = ", ".join(column(name) for name in (*names, at))
        both = f"(select {listed} from train union all select {listed} from holdout)"
        of = (self.train.rows or 0) + (self.holdout.rows or 0)
        for name, found in zip(names, self.query(f"select {parts} from {both}").columns, strict=True):
            rows = int(found[0].as_py())
            if rows:
                reason = (
                    f"{name} lies after the decision ({at}) in {count(rows, 'row')} of {of:,}: it was not known then"
                )
                yield self._leak("time", name, rows, of, rows / of, reason)

    def _shared_keys(self) -> Iterator[Leak]:
        """Keys of customers, households, devices that have rows on both sides."""
        names = [name for name, kind in self.features.items() if kind.startswith(_KEYS) and self._is_key(name)]
        for name in names:
            quoted = column(name)
            seen = self.query(
                f"with t as (select distinct {quoted} as k from train), h as (select {quoted} as k from holdout where {quoted} is not null)"
                f" select (select count(*) from h) as rows, (select count(*) from h where k in (select k from t)) as shared,"
                f" (select count(distinct k) from (select k from t union all select k from h)) as keys"
            )
            rows, shared, keys = (int(each[0].as_py()) for each in seen.columns)
            of = (self.train.rows or 0) + (self.holdout.rows or 0)
            if rows and keys and shared / rows > SHARED and 1 < of / keys <= _PER_KEY:
                reason = (
                    f"{count(shared, 'row')} of the {rows:,} held out share their {name} with rows of train: what is learnt of one is known of"
                    f' the other. Split by it: by = "group", on = "{name}"'
                )
                yield self._leak("group", name, shared, rows, shared / rows, reason)

    def _is_key(self, name: str) -> bool:
        named = name.lower() == "id" or name.lower().endswith(("_id", "_key", "_no", "_number"))
        promised = [each for contract in self.contracts for each in contract.columns if each.name == name]
        return named or any(each.references or each.primary_key for each in promised)

    def _kinds(self, names: list[str]) -> dict[str, int]:
        if not names:
            return {}
        parts = ", ".join(f"count(distinct {column(name)}) as c{number}" for number, name in enumerate(names))
        answer = self.query(f"select {parts} from (select * from train limit {_ROWS})")
        return {name: int(each[0].as_py()) for name, each in zip(names, answer.columns, strict=True)}

    def _one(self, sql: str) -> float:
        found = self.query(sql).column(0)[0].as_py()
        return float(found or 0)


def _counts(name: str, where: str = "true") -> str:
    """SQL: per value x how many rows with the outcome, p, and without it, q."""
    said = f"filter (where {where} and"
    return (
        f"select {name} as x, count(*) {said} y)::double as p, count(*) {said} not y)::double as q from few group by 1"
    )


def _halves(name: str) -> str:
    """The same for words of many values: x is how often the outcome came with the word in one half of the rows, p and q are those of the other half.

    In the half in which it was learnt, a word that occurs once would always be right. One that did not occur there says what the half says as a whole.
    """
    learnt = f"select x as word, p / (p + q) as share from ({_counts(name, 'first')}) where p + q > 0"
    usual = "(select avg(y::int) from few where first)"
    return (
        f"select coalesce(share, {usual}) as x, sum(p) as p, sum(q) as q from ({_counts(name, 'not first')}) others"
        f" left join ({learnt}) learnt on others.x is not distinct from learnt.word group by 1"
    )
