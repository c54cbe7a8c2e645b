"""A pipeline joined up the way that a run is held against labels (`data.labels.propagate`): what a column depends on in the base tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import NamedTuple

from payoff.data.labels import Labelled, Labels, Made, propagate
from payoff.data.labels.flow import ANY, ROWS, THERE, Node
from payoff.data.lineage import Flows, Source
from payoff.records.contract import Column, Contract
from payoff.records.label import LabelSpec

SECRET = "secret"


class Opaque(NamedTuple):
    """A function: the columns that it reads of each table, its output's as far as they are known, and what its contract says of them."""

    reads: dict[str, tuple[str, ...]]
    columns: tuple[str, ...] = ()
    depends: dict[str, tuple[Source, ...]] = {}


class Found(NamedTuple):
    """Base columns whose values go into a column, those that it depends on otherwise, and both."""

    data: frozenset[Source]
    control: frozenset[Source]

    @property
    def sources(self) -> frozenset[Source]:
        return self.data | self.control


def declared(depends: Mapping[str, Sequence[str]]) -> dict[str, tuple[Source, ...]]:
    """As contracts write it: `{"score": ["customers.age"]}`."""
    return {out: tuple((table, column) for table, _, column in (each.partition(".") for each in given)) for out, given in depends.items()}


class Lineage:
    """What every column of every step depends on in the base tables."""

    def __init__(self, base: Mapping[str, Sequence[str]], steps: Iterable[tuple[str, Flows | Opaque]]) -> None:
        self.base = base
        self.steps = list(steps)
        self.labelled = self._labelled()

    def _labelled(self, secret: Source | None = None) -> Labelled:
        contracts = [] if secret is None else [Contract(table=secret[0], file="c", version="1", columns=(Column(name=secret[1], classification=SECRET),))]
        project = SimpleNamespace(labels=LabelSpec(classification="internal"), zones=(), contracts=contracts)
        sources = [Made(table=table, kind="source", columns=tuple(columns)) for table, columns in self.base.items()]
        return propagate([*sources, *(self._made(*step) for step in self.steps)], Labels(project))  # type: ignore[arg-type]

    def _made(self, name: str, step: Flows | Opaque) -> Made:
        if isinstance(step, Flows):
            return Made(table=name, kind="query", flows=step)
        columns = step.columns or None
        return Made(table=name, kind="function", columns=columns, reads=dict(step.reads), depends=step.depends)

    def of(self, table: str, column: str) -> Found | None:
        """None where the step has no such column, or is none."""
        columns = self.labelled.columns.get(table, ())
        if table in self.base or not {column, ANY} & set(columns):
            return None
        return self._found((table, column if column in columns else ANY))

    def rows(self, table: str) -> Found | None:
        return None if table in self.base else self._found((table, ROWS))

    def columns(self, table: str) -> tuple[str, ...]:
        return self.labelled.columns[table]

    def _found(self, start: Node) -> Found:
        """Every way up: one that is by values all along, and those that are not."""
        seen = {(start, False)}
        waiting = [(start, False)]
        while waiting:
            node, implicit = waiting.pop()
            values, others = self.labelled.parents(node)
            after = [(each, implicit) for each in values] + [(each, True) for each in others]
            waiting += [each for each in after if each not in seen]
            seen.update(after)
        real = [(node, implicit) for node, implicit in seen if node[0] in self.base and node[1] not in THERE]
        return Found(frozenset(node for node, way in real if not way), frozenset(node for node, way in real if way))

    def path(self, table: str, column: str, source: Source) -> tuple[Source, ...]:
        """A shortest way from a base column to a column, as a message tells it when that base column alone is a secret."""
        labelled = self._labelled(source)
        spelled = next(each for each in labelled.columns[table] if each.lower() == column.lower())
        if labelled.label(table, spelled).classification != SECRET:
            return ()
        (way,) = labelled.paths((table, spelled), lambda label: label.classification == SECRET)
        told = tuple((at, "*" if name in THERE else name) for at, name in way)
        return (*told[:-1], (table, column))
