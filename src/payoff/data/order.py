"""The order of rows: where a query leaves it open, one that is the same on every machine.

An engine with several threads hands the rows of a join or a grouping out in the order in which its threads come by them. A function that
gets such a table (and cuts folds out of it, or draws a sample) would answer differently from one run to the next on the same data.
"""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from payoff.base.text import DIALECT

_OPEN = (
    exp.Join, exp.Group, exp.Distinct, exp.SetOperation, exp.Window, exp.TableSample, exp.Unnest, exp.Lateral, exp.Pivot,
)  # fmt: skip


def settled(sql: str) -> str:
    r"""The query, sorted by all its columns where its answer's order depends on threads; as it is where it sorts itself or only filters.

    >>> settled("select a, b from t where a > 1")
    'select a, b from t where a > 1'
    >>> settled("select a, count(*) as n from t group by a")
    'select * from (\nselect a, count(*) as n from t group by a\n) order by all'
    """
    try:
        tree = sqlglot.parse_one(sql, dialect=DIALECT)
    except (SqlglotError, RecursionError):
        return _sorted(sql)
    if tree.args.get("order") or not any(tree.find(kind) for kind in _OPEN):
        return sql
    return _sorted(sql)


def _sorted(sql: str) -> str:
    return f"select * from (\n{sql.strip().rstrip(';').rstrip()}\n) order by all"
