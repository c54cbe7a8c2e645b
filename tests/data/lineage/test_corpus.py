"""Nothing flows unseen through random pipelines: the truth is found by changing columns and running DuckDB, never by the engine itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import compare
import pytest
from generator import BASE
from truth import Case, case

from payoff.data.lineage import Flow, flows
from payoff.data.lineage.expressions import Reader
from payoff.data.lineage.queries import Queries
from payoff.data.lineage.relation import NOTHING, Scope
from payoff.data.lineage.tables import Tables

COLUMNS = [(table, column) for table, columns in BASE.items() for column in columns]
PAGE = Path(__file__).parents[3] / "docs" / "lineage.md"


def missed(seed: int, trials: int) -> tuple[compare.Pairs, Case]:
    """What flows unseen in one pipeline; only columns that the engine takes for harmless somewhere are tried."""
    known: list[compare.Pairs] = []

    def wanted(made: Case, table: str, column: str) -> bool:
        if not known:
            known.append(compare.flagged(made, compare.ours(made)[0]))
        return any((table, column, *out) not in known[0] for out in made.seen)

    made = case(seed, trials=trials, wanted=wanted)
    flagged = known[0] if known else set()
    return {(*source, *out) for out, sources in made.seen.items() for source in sources} - flagged, made


def said(made: Case, pairs: compare.Pairs) -> str:
    return "\n".join([f"seed {made.seed}: {sorted(pairs)}", *(f"{step.name}: {step.sql}" for step in made.steps)])


@pytest.mark.parametrize("block", range(4))
def test_no_flow_is_missed(block: int) -> None:
    tried = 0
    for seed in range(block * 30, block * 30 + 30):
        pairs, made = missed(seed, trials=2)
        assert not pairs, said(made, pairs)
        tried += made.tried.total()
    assert tried > 100


def nothing(*_: object) -> None:
    """A clause that is forgotten."""


def data_only(method):  # noqa: ANN001, ANN201
    return lambda self, node, scope: (method(self, node, scope)[0], 0)


FAULTS = {
    "ORDER BY and LIMIT": (Queries, "_sorted", nothing),
    "DISTINCT": (Queries, "_distinct", nothing),
    "GROUP BY": (Queries, "_grouped", nothing),
    "the order of a window": (Reader, "_window", data_only(Reader._window)),
    "the condition of CASE": (Reader, "_case", data_only(Reader._case)),
    "the filter of an aggregate": (Reader, "_filter", data_only(Reader._filter)),
    "EXISTS": (Reader, "_exists", data_only(Reader._exists)),
    "IN": (Reader, "_in", data_only(Reader._in)),
    "scalar subqueries": (Reader, "_subquery", data_only(Reader._subquery)),
    "USING": (Tables, "_using", nothing),
    "how many a list makes": (Reader, "_unnest", Reader.children),
    "the keys of a map": (Reader, "_map", Reader.children),
    "the order of rows": (Reader, "_call", Reader.children),
    "fields and names with dots": (Scope, "dotted", lambda *_: NOTHING),
}
# A pipeline that shows each, found by trying seeds one after another.
SHOWN: dict[str, int] = {}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_of_the_engine_is_found(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """An engine that forgets one kind of flow misses flows that the trials show."""
    place, name, instead = FAULTS[fault]
    monkeypatch.setattr(place, name, instead)
    pairs, _ = missed(SHOWN[fault], trials=4)
    assert pairs


def test_the_truth_is_not_the_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that says nothing flows misses nearly all that is seen; one that says all does, misses none."""
    made = case(7, trials=3)
    seen = {(*source, *out) for out, sources in made.seen.items() for source in sources}
    assert seen
    monkeypatch.setattr(compare, "flows", lambda sql, tables: flows("select 1", tables).named(["c"]))
    assert not hasattr(Flow("x"), "seen")


def measured(seeds: range, trials: int) -> dict[str, object]:
    """The figures of the page."""
    mine, other = compare.Score(), compare.Score()
    failed = 0
    for seed in seeds:
        made = case(seed, trials=trials)
        lineage, unsure = compare.ours(made)
        mine.add(made, compare.flagged(made, lineage), COLUMNS, unsure)
        theirs, broken = compare.theirs(made)
        other.add(made, theirs, COLUMNS, broken)
        failed += broken
    return {
        "pipelines": mine.pipelines, "queries": mine.queries, "pairs": mine.pairs, "seen": mine.seen,
        "missed": len(mine.missed), "flagged": mine.flagged, "unseen": mine.unseen, "unsure": mine.unsure,
        "sqlglot_missed": len(other.missed), "sqlglot_flagged": other.flagged, "sqlglot_unseen": other.unseen, "sqlglot_failed": failed,
        "names": sorted(mine.missed)[:10],
    }  # fmt: skip
