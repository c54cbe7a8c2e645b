"""What must be known before it can be decided where lazy steps run: the databases of the sources, the queries of the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from payoff.base.clock import now
from payoff.base.errors import PayoffError
from payoff.execute.context import fields
from payoff.plan import graph
from payoff.records.task import Task, TaskInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payoff.plan.place import Located, Places, Question
    from payoff.ports.kit import Kit
    from payoff.ports.pushdown import Database
    from payoff.records.placement import Placement
    from payoff.records.project import Project, Step


def locate(
    project: Project,
    kit: Kit,
    parameters: Mapping[str, Mapping[str, Any]],
    only: tuple[str, ...] = (),
    *,
    all_steps: bool = False,
) -> Places | None:
    """Where the lazy steps run. None when no source is in a database that runs queries, so that there is nothing to decide; with
    `all_steps`, the queries are wanted all the same.
    """
    steps = graph.needed_steps(project, only)
    databases = _databases(project, kit, steps) if project.push != "never" else ()
    if not databases and not all_steps:
        return None
    from payoff.plan import place

    compiler = _Compiler(project, kit, steps, parameters)
    compiled, schemas = compiler.all()
    if not databases and not compiled:
        return None
    located, silent = _located(kit, databases, schemas)
    question = place.Question(
        steps=steps,
        compiled=compiled,
        schemas=schemas,
        located=located,
        silent=silent,
        lowered=compiler.lowered,
        only=only,
        now=now(),
        home=project.zone,
    )
    return _on_cluster(kit, question, _accepted(project, kit, question, place.places(project, question)))


def _databases(project: Project, kit: Kit, steps: tuple[Step, ...]) -> tuple[str, ...]:
    """The sources of lazy steps whose adapters run queries."""
    lazy = {each.name for step in steps if step.lazy for each in step.inputs}
    named = [s for s in project.sources if s.table in lazy and s.push != "never"]
    return tuple(s.table for s in named if kit.capable(s.table, "pushdown"))


def _located(
    kit: Kit, databases: tuple[str, ...], schemas: dict[str, Any]
) -> tuple[dict[str, Located], frozenset[str]]:
    """The tables in databases, and those whose database gave no answer: the run will read them, and say what is wrong."""
    from payoff.plan.place import Located

    found, silent = {}, set()
    for table in databases:
        database = cast("Database", kit.source(table))
        try:
            where = database.place()
            if where is not None and table in schemas:
                found[table] = Located(place=where, relation=database.relation())
            elif where is not None:
                silent.add(table)
        except PayoffError:
            silent.add(table)
    return found, frozenset(silent)


def _accepted(project: Project, kit: Kit, question: Question, found: Places) -> Places:
    """The same, without the steps whose query the database itself does not take."""
    from payoff.plan import place

    refused: dict[str, str] = {}
    for each in found.steps.values():
        if each.place is not None and not each.within:
            try:
                cast("Database", kit.source(each.tables[0])).prepare(each.sql)
            except PayoffError:
                refused[each.step] = f"{each.place.dialect.title} does not take its query"
    if not refused:
        return found
    kept = {name: sql for name, sql in question.compiled.items() if name not in refused}
    again = _accepted(project, kit, _without(question, kept), place.places(project, _without(question, kept)))
    steps = {
        name: _here(each, question.compiled[name], refused[name]) if name in refused else each
        for name, each in again.steps.items()
    }
    return place.Places(steps=steps, unread=again.unread, checks=again.checks)


def _without(question: Question, compiled: dict[str, str]) -> Question:
    from msgspec.structs import replace

    return replace(question, compiled=compiled)


def _here(placement: Placement, sql: str, because: str) -> Placement:
    from msgspec.structs import replace

    return replace(placement, sql=sql, because=because)


def _on_cluster(kit: Kit, question: Question, found: Places) -> Places:
    """The same, with the steps named that the project's cluster will run."""
    from msgspec.structs import replace

    cluster = kit.cluster
    if cluster is None:
        return found
    from payoff.data.push.queries import translate
    from payoff.data.push.rules import Unlike, kind_of

    steps = {}
    for step in question.steps:
        each = found.steps.get(step.name)
        if each is not None and each.place is None and step.name in question.compiled:
            tables = {i.name: {f.name: kind_of(str(f.type)) for f in question.schemas[i.name]} for i in step.inputs}
            dialect = cluster.place().dialect
            try:
                sent = translate(question.compiled[step.name], tables, dialect).sql
            except Unlike as unlike:
                each = replace(each, because=f"{each.because}; not in {dialect.title}: {unlike}")
            else:
                each = replace(each, engine=dialect.name, cluster=cluster.place().address, sql=sent)
        if each is not None:
            steps[step.name] = each
    return replace(found, steps=steps)


class _Compiler:
    """Compiles every lazy step whose inputs are sources or other such steps, as a run would."""

    def __init__(
        self, project: Project, kit: Kit, steps: tuple[Step, ...], parameters: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self.project = project
        self.kit = kit
        self.steps = steps
        self.parameters = parameters
        self.compiled: dict[str, str] = {}
        self.schemas: dict[str, Any] = {}
        self.lowered: dict[str, str] = {}

    def all(self) -> tuple[dict[str, str], dict[str, Any]]:
        """SQL by step, schemas by table. A step that cannot be compiled is left out: its run says why."""
        early = graph.compiled_early(self.project, self.steps)
        for step in self.steps:
            if step.name in early:
                self._one(step)
        return self.compiled, self.schemas

    def _one(self, step: Step) -> None:
        for each in step.inputs:
            if self.project.source(each.name) and each.name not in self.schemas:
                try:
                    self.schemas[each.name] = self.kit.source(each.name).schema()
                except PayoffError:
                    return
        if any(each.name not in self.schemas for each in step.inputs):
            return
        sql = step.sql if step.sql is not None else self._in_sandbox(step)
        if sql is None:
            return
        tables = {each.name: self.schemas[each.name] for each in step.inputs}
        try:
            asked = self._lowered(step, sql, self.kit.engine.columns(sql, tables).names)
            schema = self.kit.engine.columns(asked, tables)
        except PayoffError:
            return
        self.compiled[step.name], self.schemas[step.name] = sql, schema

    def _lowered(self, step: Step, sql: str, names: list[str]) -> str:
        """The query with the operators of its contract applied, its keys left out; the run that needs them has them."""
        contract = self.project.contract(step.name)
        if contract is None or not contract.applied:
            return sql
        from payoff.data.labels import operators

        asked = operators.wrap(sql, names, contract, lambda _name: "0" * 32)
        self.lowered[step.name] = "" if any(each.key for each in contract.applied.values()) else asked
        return asked

    def _in_sandbox(self, step: Step) -> str | None:
        environment = self.project.environment(step.environment)
        if environment is None:
            return None
        try:
            self.kit.executor.prepare(environment, lambda _line: None)
        except PayoffError:
            return None
        inputs = tuple(TaskInput(name=i.name, form=i.form, fields=fields(self.schemas[i.name])) for i in step.inputs)
        task = Task(
            id=f"locate:{step.name}",
            kind="compile",
            step=step.name,
            environment=environment,
            root=self.project.root,
            module=step.module,
            function=step.function,
            inputs=inputs,
            parameters=dict(self.parameters.get(step.name, {})),
            output=str(self.kit.store.scratch(f"{step.name}-query")),
            seed=step.seed,
            options={"dialect": self.kit.engine.dialect},
        )
        self.kit.executor.submit(task)
        result = next(each for each in self.kit.executor.wait() if each.id == task.id)
        return result.sql if result.ok and not result.failure else None
