"""Which lazy steps run where their data is. Pure: queries, schemas and what the databases said are handed in.

A step is pushed when all that it takes is in one database, its query means the same there, and its tables then need not be read: whatever
else in the run needs a table here, gets it with the same rows for every step (`push = "always"` on a source does without that). A pushed step that
only other pushed steps use is part of their queries, so that only the last result moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from payoff.base.text import DIALECT
from payoff.data import checks, usage
from payoff.data.push.queries import Translated, translate
from payoff.data.push.rules import Unlike, kind_of
from payoff.plan import graph
from payoff.records.artifact import Field
from payoff.records.placement import Location, Placement, Relation

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from payoff.records.contract import Contract
    from payoff.records.project import Project, Step


class Located(msgspec.Struct, frozen=True, kw_only=True):
    """A source's table in a database that runs queries."""

    place: Location
    relation: Relation


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is known before the decision: queries of lazy steps (DuckDB's dialect), what every source and every such query gives, which
    sources are in databases, and which of those could not be asked (`silent`). `lowered`: of steps
    whose contracts have operators, the query with those applied; empty text where that needs a key. `only`: the steps asked for. `now` is the time that checks of freshness count from. `home`: the project's own zone.
    """

    steps: tuple[Step, ...]
    compiled: Mapping[str, str]
    schemas: Mapping[str, Any]
    located: Mapping[str, Located]
    silent: frozenset[str] = frozenset()
    lowered: Mapping[str, str] = {}
    only: tuple[str, ...] = ()
    now: str = ""
    home: str | None = None


class PushedCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A contract held against its table in the database; `columns` are those that the pushed steps use."""

    table: str
    columns: tuple[str, ...]


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """`steps` has every lazy step; `unread` the sources that nobody needs here; `checks` their contracts that are checked at their place."""

    steps: dict[str, Placement] = {}
    unread: frozenset[str] = frozenset()
    checks: dict[str, PushedCheck] = {}


def zone_of(places: Places, step: str, home: str | None = None) -> str | None:
    """The zone that a step runs in: a pushed one in that of its sources, every other in the project's own."""
    placement = places.steps.get(step)
    return placement.zone if placement is not None else home


def places(project: Project, question: Question) -> Places:
    """Decide for every lazy step."""
    decision = _Decision(project, question)
    decision.settle()
    return decision.answer()


class _Candidate(msgspec.Struct, frozen=True, kw_only=True):
    step: Step
    place: Location
    zone: str | None
    translated: Translated
    tables: tuple[str, ...]


class _Decision:
    def __init__(self, project: Project, question: Question) -> None:
        self.project = project
        self.question = question
        self.lazy = [step for step in question.steps if step.lazy]
        self.reasons: dict[str, str] = {}
        self.candidates: dict[str, _Candidate] = {}
        for step in self.lazy:
            found = self._candidate(step)
            if isinstance(found, str):
                self.reasons[step.name] = found
            else:
                self.candidates[step.name] = found

    # -- which steps could

    def _candidate(self, step: Step) -> _Candidate | str:
        """The step's query at its place, or why it cannot be there."""
        if self.project.push == "never":
            return 'push = "never"'
        names = [each.name for each in step.inputs]
        for name in names:
            if self._never(name):
                return f'{name} has push = "never"'
            if name in self.question.silent:
                return f"the database of {name} could not be asked"
            if name not in self.question.located and name not in self.candidates:
                return (
                    f"{name} is in no database that runs queries"
                    if self.project.source(name)
                    else f"{name} is made here"
                )
        found = {self._place_of(name).id: self._place_of(name) for name in names}
        zones = {self._zone_of(name) for name in names}
        if len(found) != 1 or len(zones) != 1:
            return "its tables are in several places" if names else "it takes no table"
        (place,), (zone,) = found.values(), zones
        sql = self.question.compiled.get(step.name)
        if sql is None:
            return "its query is not known before the run"
        sql = self.question.lowered.get(step.name, sql)
        if not sql:
            return "an operator of its contract needs a key"
        try:
            translated = translate(sql, {name: self._kinds(name) for name in names}, place.dialect)
            self._same_types(step, translated)
        except Unlike as unlike:
            return str(unlike)
        tables = [
            table for name in names for table in (self.candidates[name].tables if name in self.candidates else (name,))
        ]
        return _Candidate(step=step, place=place, zone=zone, translated=translated, tables=tuple(dict.fromkeys(tables)))

    def _never(self, table: str) -> bool:
        source = self.project.source(table)
        return source is not None and source.push == "never"

    def _place_of(self, name: str) -> Location:
        return self.candidates[name].place if name in self.candidates else self.question.located[name].place

    def _zone_of(self, name: str) -> str | None:
        if name in self.candidates:
            return self.candidates[name].zone
        source = self.project.source(name)
        return (source.zone if source else None) or self.question.home

    def _kinds(self, name: str) -> dict[str, str]:
        """A table's columns; one that its database cannot give has no kind."""
        if name in self.candidates:
            return dict(self.candidates[name].translated.columns)
        given = {field.name: kind_of(field.type) for field in self.question.located[name].relation.fields}
        return {column: given.get(column.lower(), "") for column in self.question.schemas[name].names}

    def _same_types(self, step: Step, translated: Translated) -> None:
        """Refuse a query of which DuckDB itself says that its columns are other ones."""
        schema = self.question.schemas[step.name]
        kinds = [kind_of(str(field.type)) for field in schema]
        if [name.lower() for name in schema.names] != [name for name, _ in translated.columns] or kinds != [
            k for _, k in translated.columns
        ]:
            raise Unlike("the types of its columns are not sure")

    # -- which of them do

    def settle(self) -> None:
        """Drop steps until none is left that takes a table which must come here all the same."""
        dropped = True
        while dropped:
            dropped = False
            here = self._needed_here()
            for name, each in list(self.candidates.items()):
                for taken in each.step.inputs:
                    if taken.name in here and not self._always(taken.name):
                        self._drop(name, here[taken.name])
                        dropped = True
                        break
                    if taken.name not in self.candidates and not self.project.source(taken.name):
                        self._drop(name, f"{taken.name} is made here")
                        dropped = True
                        break

    def _drop(self, name: str, reason: str) -> None:
        del self.candidates[name]
        self.reasons[name] = reason

    def _always(self, table: str) -> bool:
        source = self.project.source(table)
        return source is not None and source.push == "always"

    def _needed_here(self) -> dict[str, str]:
        """Tables that come here, and why."""
        found: dict[str, str] = {}
        for step in self.question.steps:
            if step.name not in self.candidates:
                for each in step.inputs:
                    found.setdefault(each.name, f"{each.name} is needed here, by {step.name}")
        examples = self.project.charter.decision.examples
        if not self.question.only or graph.TRAIN in self.question.only:
            found.setdefault(examples, f"{examples} is needed here, to be split")
        for name in self.question.only:
            found.setdefault(name, f"{name} is asked for")
        for sink in () if self.question.only else self.project.sinks:
            found.setdefault(sink.table, f"{sink.table} is needed here, to be written to the sink {sink.name}")
        for contract in self.project.contracts:
            table = contract.table
            if table in self.candidates:
                found.setdefault(table, f"{table} has a contract, and is checked here")
            elif table in self.question.located and (reason := self._unfit(table)):
                found.setdefault(table, f"the contract of {table} is checked here: {reason}")
            for column in contract.columns:
                if column.references:
                    found.setdefault(
                        column.references[0], f"{table} refers to {column.references[0]}, which is checked here"
                    )
        return found

    def _unfit(self, table: str) -> str:
        """Why a source's contract cannot be checked at its place; empty when it can."""
        contract = self.project.contract(table)
        if contract is None:
            return ""
        if any(column.references for column in contract.columns):
            return "it refers to another table"
        plan = self.check_plan(table)
        try:
            for sql in checks.queries(plan):
                translate(sql, {table: self._kinds(table)}, self.question.located[table].place.dialect)
        except Unlike as unlike:
            return str(unlike)
        return ""

    def check_plan(self, table: str) -> checks.CheckPlan:
        """The probes of a source's contract, over the columns that are used."""
        contract = cast("Contract", self.project.contract(table))
        schema = self.question.schemas[table]
        return check_plan(contract, schema, self._used(table), now=self.question.now)

    def _used(self, table: str) -> tuple[str, ...]:
        """The columns of a source that the pushed steps use, or its checks besides."""
        used: set[str] = set()
        for each in self.candidates.values():
            names = [i.name for i in each.step.inputs]
            if table in names:
                schemas = {name: self.question.schemas[name] for name in names}
                used |= set(usage.used_columns(self.question.compiled[each.step.name], schemas)[table])
        contract, schema = self.project.contract(table), self.question.schemas[table]
        if contract is not None:
            used |= set(checks.needed_columns(contract, schema))
        return tuple(name for name in schema.names if name in used)

    # -- what came out

    def answer(self) -> Places:
        """Every lazy step's place, and what follows for the sources."""
        here = self._needed_here()
        found: dict[str, Placement] = {}
        for step in self.lazy:
            each = self.candidates.get(step.name)
            if each is None:
                found[step.name] = Placement(
                    step=step.name, engine=DIALECT, zone=self.question.home, sql=self.question.compiled.get(step.name, ""),
                    query=self.question.compiled.get(step.name, ""), because=self.reasons.get(step.name, ""),
                )  # fmt: skip
                continue
            users = (
                tuple(s.name for s in graph.consumers(self.question.steps, step.name)) if step.name not in here else ()
            )
            found[step.name] = Placement(
                step=step.name, engine=each.place.dialect.name, place=each.place, zone=each.zone, sql=self._whole(each),
                query=self.question.compiled[step.name], shape=self.question.schemas[step.name].serialize().to_pybytes(), tables=each.tables, within=users,
            )  # fmt: skip
        at_place = {table for each in self.candidates.values() for table in each.tables}
        unread = frozenset(table for table in at_place if table not in here)
        checked = {
            t: PushedCheck(table=t, columns=self._used(t))
            for t in sorted(unread)
            if self.project.contract(t) is not None
        }
        return Places(steps=found, unread=unread, checks=checked)

    def _whole(self, each: _Candidate) -> str:
        """The query with all it is made of: tables and steps before it as common table expressions."""
        parts: dict[str, str] = {}

        def add(candidate: _Candidate) -> None:
            for name in (i.name for i in candidate.step.inputs):
                if name in parts:
                    continue
                if name in self.candidates:
                    add(self.candidates[name])
                    parts[name] = self.candidates[name].translated.sql
                else:
                    parts[name] = self.question.located[name].relation.sql

        add(each)
        return with_tables(each.translated.sql, parts, each.tables if each.place.dialect.inlines else ())


def with_tables(sql: str, parts: Mapping[str, str], inlined: Container[str] = ()) -> str:
    """A translated query in which every table is a query, in the order given; those `inlined` are not to be made first.

    >>> print(with_tables('SELECT "t"."a" AS "a" FROM "t" AS "t"', {"t": 'select "a" as "a" from "public"."t"'}))
    WITH "t" AS (select "a" as "a" from "public"."t")
    SELECT "t"."a" AS "a" FROM "t" AS "t"
    """
    said = {name: "AS NOT MATERIALIZED" if name in inlined else "AS" for name in parts}
    listed = ",\n".join(f'"{name.lower()}" {said[name]} ({part})' for name, part in parts.items())
    body = f'SELECT * FROM (\n{sql}\n) AS "answer"' if sql.startswith("WITH") else sql
    return f"WITH {listed}\n{body}"


def check_plan(contract: Contract, schema: Any, columns: tuple[str, ...], *, now: str) -> checks.CheckPlan:
    """The probes of a contract over some columns of its table."""
    fields = [Field(each.name, str(each.type)) for each in schema if each.name in columns]
    return checks.compile_contract(contract, fields, promised_from=schema.names, foreign={}, now=now)
