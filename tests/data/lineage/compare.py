"""What the engine, and sqlglot's own lineage, answer on a case, beside what was seen to flow."""

from __future__ import annotations

from dataclasses import dataclass, field

from composed import Lineage
from generator import BASE
from sqlglot import exp
from sqlglot.lineage import lineage as sqlglot_lineage
from truth import Case

from payoff.data.lineage import flows

Pairs = set[tuple[str, str, str, str]]  # (table, column, step, output column)


@dataclass
class Score:
    """Counts of pairs (base column, output column)."""

    pipelines: int = 0
    queries: int = 0
    pairs: int = 0
    seen: int = 0
    flagged: int = 0
    missed: Pairs = field(default_factory=set)
    unseen: int = 0  # flagged, not seen in any trial
    unsure: int = 0  # queries

    def add(self, case: Case, flagged: Pairs, bases: list[tuple[str, str]], unsure: int) -> Pairs:
        seen = {(*source, *out) for out, sources in case.seen.items() for source in sources}
        self.pipelines += 1
        self.queries += len(case.steps)
        self.pairs += len(bases) * len(case.seen)
        self.seen += len(seen)
        self.flagged += len(flagged)
        self.unseen += len(flagged - seen)
        self.unsure += unsure
        missed = seen - flagged
        self.missed |= {(f"{case.seed}:{table}", column, step, out) for table, column, step, out in missed}
        return missed


def ours(case: Case) -> tuple[Lineage, int]:
    """The engine's answer, and how many of the queries it was not sure of."""
    found = []
    for step in case.steps:
        answer = flows(step.sql, step.reads)
        assert answer.unsure or answer.others or len(answer.columns) == len(step.columns), step.sql
        found.append((step.name, answer.named(step.columns)))
    return Lineage(BASE, found), sum(bool(answer.unsure) for _, answer in found)


def flagged(case: Case, lineage: Lineage) -> Pairs:
    pairs: Pairs = set()
    for step, column in case.seen:
        flow = lineage.of(step, column)
        assert flow is not None, (step, column)
        pairs |= {(*source, step, column) for source in flow.sources}
    return pairs


def theirs(case: Case) -> tuple[Pairs, int]:
    """sqlglot's lineage of each query with the full schema, joined up over the steps; and how many queries it failed on."""
    known: dict[tuple[str, str], set[tuple[str, str]]] = {}
    failed = 0
    for step in case.steps:
        schema = {table: dict.fromkeys(columns, "unknown") for table, columns in step.reads.items()}
        broken = False
        for column in step.columns:
            sources: set[tuple[str, str]] = set()
            try:
                root = sqlglot_lineage(column, step.sql, schema=schema, dialect="duckdb")
                for node in root.walk():
                    if isinstance(node.source, exp.Table) and not node.downstream:
                        table, name = node.source.name.lower(), node.name.rpartition(".")[2].strip('"').lower()
                        sources |= known.get((table, name), {(table, name)})
            except Exception:
                broken = True
            known[step.name, column.lower()] = sources
        failed += broken
    pairs = {(*source, step, column) for step, column in case.seen for source in known[step, column.lower()]}
    spelled = {(t.lower(), c.lower()): (t, c) for t, columns in case.steps[0].reads.items() for c in columns} if case.steps else {}
    return {(*spelled[t, c], step, column) for t, c, step, column in pairs if (t, c) in spelled}, failed
