"""Cuts train once more: a part is set aside, on which a model fitted to the rest is compared with what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from payoff.base.text import count
from payoff.data import split
from payoff.data.expressions import outcome_sql
from payoff.data.names import column, value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payoff.records.charter import Charter

SHARE = 0.2
FEWEST, FEWEST_EACH = 200, 20


class AsideQueries(msgspec.Struct, frozen=True, kw_only=True):
    """SQL over the examples: `fit` (what is left of train), `rows` (what is set aside of it, with the same columns), both sorted by id."""

    fit: str
    rows: str


def compile_aside(charter: Charter, features: Sequence[str]) -> AsideQueries:
    """A fifth of train (of what its rows share), cut as the holdout was: by another hash of the same column, or its latest rows.

    What shares a key stays together here, too, and a model that is judged on later rows is looked at on the latest it could learn from.
    """
    on, table = charter.split.on, column(charter.decision.examples)
    train = f"not {split.held(charter)}"
    if charter.split.by == "time":
        aside = f"({column(on)} >= (select quantile_disc({column(on)}, {1 - SHARE}) from {table} where {train}))"
    elif on == charter.decision.id:
        aside = split.by_share(on, SHARE, _salt(charter))
    else:
        # Of a dozen groups a share of hashes may be none: a fifth of them are counted off in the order of their hashes.
        key = f"md5({value(_salt(charter))} || '|' || cast(k as varchar))"
        keys = f"select distinct {column(on)} as k from {table} where {train}"
        counted = f"select k, row_number() over (order by {key}, k) as place, count(*) over () as number from ({keys})"
        aside = f"({column(on)} in (select k from ({counted}) where place <= greatest(1, floor({SHARE} * number))))"
    chosen = ", ".join(column(name) for name in features)
    order = f"order by {column(charter.decision.id)}"
    return AsideQueries(
        fit=f"select {chosen} from {table} where {train} and not {aside} {order}",
        rows=f"select {chosen} from {table} where {train} and {aside} {order}",
    )


def _salt(charter: Charter) -> str:
    return f"set aside|{charter.split.salt}"


def census(charter: Charter, table: str) -> str:
    """SQL over such a table: how many `rows` it has of each `outcome` (of all together where it is a quantity)."""
    if charter.quantity is not None:
        return f"select '' as outcome, count(*) as rows from {column(table)}"
    return f"select {outcome_sql(charter)} as outcome, count(*) as rows from {column(table)} group by 1"


def too_few(charter: Charter, fit: dict[str, int], rows: dict[str, int]) -> str:
    """Why so many rows of each outcome say too little; empty when they say enough."""
    number = sum(rows.values())
    if not sum(fit.values()):
        return "nothing of train would be left to fit the model to"
    if number < FEWEST:
        return f"{count(number, 'row')} of train could be set aside, {FEWEST} say something"
    for name in charter.outcomes:  # none where the outcome is a quantity
        if rows.get(name, 0) < FEWEST_EACH or fit.get(name, 0) < FEWEST_EACH:
            least = min(rows.get(name, 0), fit.get(name, 0))
            return f"{count(least, 'row')} with the outcome {name} on one side of the cut, {FEWEST_EACH} say something"
    return ""
