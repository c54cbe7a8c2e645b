"""Project + State -> Plan. Pure: what the world says (versions of sources, finished outcomes) is handed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from payoff.base import hashing
from payoff.plan import graph, keys
from payoff.plan.stages import (
    Audit,
    Call,
    Check,
    Inline,
    Plan,
    Read,
    Refit,
    Score,
    SetAside,
    Split,
    Stage,
    Transform,
    TryOut,
    Value,
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from payoff.records.placement import Placement
    from payoff.records.project import Project, SinkSpec, Step
    from payoff.records.state import Remembered, State

    Recall = Callable[[Iterable[str]], dict[str, Remembered]]

S = TypeVar("S", bound=Stage)
AUDIT_RULES = 2  # grows with the rules of data.leaks: what was searched before is searched again
ASIDE_RULES = 2  # grows with the rules of data.aside


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What the outside says before a run: per source its address and version token, per sink its address and what is there, and the system's
    facts. Where lazy steps run: `placements` has those pushed to their data, `unread` the sources that need not be read then, `checked` the columns
    of those to be checked there.
    """

    sources: dict[str, tuple[dict[str, Any], str | None]]
    placements: dict[str, Placement] = {}
    unread: frozenset[str] = frozenset()
    checked: dict[str, tuple[str, ...]] = {}
    system: dict[str, str]
    recall: Any
    has: Any
    sinks: dict[str, tuple[dict[str, Any], str | None]] = {}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`only` names the steps to make (with all they need); empty: everything, up to the verdict."""

    parameters: dict[str, dict[str, Any]]
    only: tuple[str, ...] = ()
    force: bool = False


def build(project: Project, state: State, world: World, request: Request) -> Plan:
    """Order the stages, and say for each whether it was done before, and if not why."""
    return _Builder(project, state, world, request).plan()


class _Builder:
    def __init__(self, project: Project, state: State, world: World, request: Request) -> None:
        self.project = project
        self.state = state
        self.world = world
        self.request = request
        self.steps = graph.needed_steps(project, request.only)
        self.early = graph.compiled_early(project, self.steps, frozenset(world.placements))
        found = graph.sources_of(project, self.steps, split=self._wants_split(), written=not request.only)
        self.sources = tuple(name for name in found if name not in world.unread)
        self.stages: list[Stage] = []
        self.by_name: dict[str, Stage] = {}
        self.contents: dict[str, str] = {}  # table or object -> identity of its content, where it is known already

    def plan(self) -> Plan:
        for table in self.sources:
            self._read(table)
        for table in self.sources:
            self._check(table)
        for table in sorted(self.world.checked):
            self._check_there(table)
        examples = self.project.charter.decision.examples
        if self.project.source(examples) and self._wants_split():
            self._split()
        for step in self.steps:
            self._step(step)
            self._check(step.name)
            if step.name == examples and self._wants_split():
                self._split()
        if not self.request.only:
            self._verdict()
            for sink in self.project.sinks:
                self._write(sink)
        return Plan(stages=tuple(self._followed(stage) for stage in self.stages), parameters=self.request.parameters)

    def _followed(self, stage: Stage) -> Stage:
        """A step that is part of others runs when one of those does."""
        if not isinstance(stage, Inline):
            return stage
        users = [self._followed(self.by_name[f"step:{name}"]) for name in stage.at.within]
        because = tuple(
            f"{name} runs" for name, user in zip(stage.at.within, users, strict=True) if user.state != "reuse"
        )
        return msgspec.structs.replace(stage, state="run" if because else "reuse", because=because)

    # -- one method per kind of stage

    def _read(self, table: str) -> None:
        describe, version = self.world.sources[table]
        facts = read_facts(self.project, self.steps, table, describe, version)
        self._add(Read(name=f"read:{table}", table=table), facts, table, known=version is not None)

    def _check(self, table: str) -> None:
        contract = self.project.contract(table)
        if contract is None:
            return
        foreign = sorted({c.references[0] for c in contract.columns if c.references})
        inputs = {name: self.contents.get(name, "") for name in [table, *foreign]}
        facts = {"contract": contract.digest, "inputs": inputs}
        needs = tuple(n for name in [table, *foreign] if (n := self._maker(name)))
        timeless = not any(check.kind == "freshness" for check in contract.checks)
        stage = Check(name=f"check:{table}", table=table, needs=needs)
        self._add(stage, facts, None, known=all(inputs.values()) and timeless)

    def _check_there(self, table: str) -> None:
        """The contract of a source that is not read."""
        contract = self.project.contract(table)
        place = next((p.place for p in self.world.placements.values() if table in p.tables), None)
        if contract is None or place is None:
            return
        token = self._token(table)
        facts = {"contract": contract.digest, "columns": self.world.checked[table], "inputs": {table: token}}
        timeless = not any(check.kind == "freshness" for check in contract.checks)
        stage = Check(name=f"check:{table}", table=table, at=place, columns=self.world.checked[table])
        self._add(stage, facts, None, known=bool(token) and timeless)

    def _token(self, table: str) -> str:
        """What changes with a source that is not read; empty when it has no such thing."""
        describe, version = self.world.sources[table]
        address = {name: fact for name, fact in describe.items() if name != "watch"}
        return hashing.of_json([address, version]) if version is not None else ""

    def _pushed(self, step: Step, at: Placement) -> None:
        """A step whose query runs where its data is; what it depends on is known before that."""
        needs = tuple(f"check:{table}" for table in at.tables if f"check:{table}" in self.by_name)
        if at.within:
            self._keep(Inline(name=f"step:{step.name}", needs=needs, step=step, at=at, state="reuse"))
            return
        inputs = {table: self._token(table) for table in at.tables}
        facts = {
            "code": step.code,
            "parts": step.parts,
            "inputs": inputs,
            "parameters": self.request.parameters.get(step.name, {}),
            "query": hashing.of_text(at.sql),
        }
        stage = Transform(name=f"step:{step.name}", needs=needs, step=step, at=at)
        self._add(stage, facts, step.name, known=all(inputs.values()))

    def _split(self) -> None:
        examples = self.project.charter.decision.examples
        facts = split_facts(self.project, self.contents.get(examples, ""))
        stage = Split(name="split", examples=examples, needs=self._needs(examples))
        self._add(stage, facts, graph.TRAIN, known=examples in self.contents)

    def _step(self, step: Step) -> None:
        if (at := self.world.placements.get(step.name)) is not None:
            self._pushed(step, at)
            return
        inputs = {each.name: self.contents.get(each.name, "") for each in step.inputs}
        facts = keys.step_facts(
            step,
            self.project.environment(step.environment),
            self.request.parameters.get(step.name, {}),
            inputs,
            self.world.system,
        ) | keys.promised(self.project.contract(step.name))
        needs = [n for each in step.inputs for n in self._needs(each.name)]
        if step.name == self.project.charter.model_step:
            needs += [stage.name for stage in self.stages if isinstance(stage, Check)]
        name, unique = f"step:{step.name}", tuple(dict.fromkeys(needs))
        stage = (
            Transform(name=name, needs=unique, step=step, compiled_early=step.name in self.early)
            if step.lazy
            else Call(name=name, needs=unique, step=step)
        )
        self._add(stage, facts, step.name, known=all(inputs.values()))

    def _verdict(self) -> None:
        model = self.project.charter.model_step
        step = self.project.step(model)
        if step is None:
            return
        checks = tuple(stage.name for stage in self.stages if isinstance(stage, Check))
        split = self.by_name.get("split")
        holdout = str(split.hit.extra.get("holdout", {}).get("id", "")) if split and split.hit else ""
        facts = audit_facts(self.project, self.contents.get(graph.TRAIN, ""), holdout)
        audited = bool(self.contents.get(graph.TRAIN) and holdout)
        self._add(Audit(name="leaks", needs=("split",)), facts, None, known=audited)
        facts = score_facts(self.project, self.contents.get(model, ""), holdout)
        known = bool(self.contents.get(model) and holdout)
        score = Score(name="score", needs=(f"step:{model}", "split", *checks), step=step)
        self._add(score, facts, graph.PREDICTIONS, known=known)
        tried = self._try_out(step, checks)
        known = known and (not tried or graph.TRIED in self.contents)
        facts = value_facts(
            self.project, self.contents.get(graph.PREDICTIONS, ""), holdout, self.contents.get(graph.TRIED, "")
        )
        value = Value(name="value", needs=("score", *tried), step=step)
        self._add(value, facts, None, known=known, latest_only=True)

    def _try_out(self, step: Step, checks: tuple[str, ...]) -> tuple[str, ...]:
        """The model's second fit and its predictions, for which a part of train is set aside; the stages whose end the verdict waits for."""
        charter = self.project.charter
        examples = self.contents.get(charter.decision.examples, "")
        derived = graph.made_of_train(self.project)
        wanted = charter.recalibrate != "never" if charter.quantity is None else charter.gives == "forecast"
        if not wanted or step not in derived:
            return ()
        aside = SetAside(name="set aside", examples=charter.decision.examples, needs=("split",))
        self._add(aside, aside_facts(self.project, examples), f"{graph.FIT}{graph.TRAIN}", known=bool(examples))
        hit = self.by_name["set aside"].hit
        if hit is not None and hit.extra.get("too few"):
            return ()
        again = {graph.TRAIN: f"{graph.FIT}{graph.TRAIN}"} | {each.name: f"{graph.FIT}{each.name}" for each in derived}
        for each in derived:
            inputs = {i.name: again.get(i.name, i.name) for i in each.inputs}
            contents = {name: self.contents.get(made, "") for name, made in inputs.items()}
            facts = keys.step_facts(
                each,
                self.project.environment(each.environment),
                self.request.parameters.get(each.name, {}),
                contents,
                self.world.system,
            ) | keys.promised(self.project.contract(each.name))
            needs = [n for i in each.inputs if i.name not in again for n in self._needs(i.name)]
            needs += ["set aside" if n == graph.TRAIN else again[n] for n in inputs if n in again]
            needs += checks if each is step else ()
            stage = Refit(name=again[each.name], needs=tuple(dict.fromkeys(needs)), step=each, inputs=inputs)
            self._add(stage, facts, again[each.name], known=all(contents.values()))
        rows = str(hit.extra["rows"]["id"]) if hit is not None else ""
        fitted = self.contents.get(again[step.name], "")
        trial = TryOut(name="try out", needs=(again[step.name],), step=step)
        self._add(trial, score_facts(self.project, fitted, rows), graph.TRIED, known=bool(fitted and rows))
        return ("try out",)

    def _write(self, sink: SinkSpec) -> None:
        address, written = self.world.sinks[sink.name]
        content = self.contents.get(sink.table, "")
        facts = write_facts(sink, address, content)
        stage = Write(name=f"write:{sink.name}", sink=sink, needs=self._needs(sink.table))
        before = self.state.latest.get(stage.name)
        if not content or written == content or self.request.force:
            self._add(stage, facts, None, known=bool(content))
            return
        same = before is not None and before.key == keys.key(stage.name, facts)
        because = ("what is there is not what was written: it is put back",) if same else keys.reasons(facts, before)
        self._keep(msgspec.structs.replace(stage, because=because, facts=facts))

    # -- shared

    def _add(
        self, stage: Stage, facts: dict[str, Any], makes: str | None, *, known: bool, latest_only: bool = False
    ) -> None:
        """Decide whether the stage was done before; remember what it makes when that is known."""
        upstream = [self.by_name[n] for n in stage.needs if n in self.by_name and self.by_name[n].state != "reuse"]
        before = self.state.latest.get(stage.name)
        if known and not self.request.force:
            key = keys.key(stage.name, facts)
            hit = self.world.recall([key]).get(key)
            if hit and latest_only and (before is None or before.key != key):
                hit = None
            if hit and self.world.has(hit.output):
                stage = msgspec.structs.replace(stage, state="reuse", hit=hit, facts=facts)
                if makes:
                    self.contents[makes] = hit.output.id
                self._keep(stage)
                return
        if self.request.force:
            stage = msgspec.structs.replace(stage, because=("asked for by --force",), facts=facts)
        elif known or not upstream:
            stage = msgspec.structs.replace(stage, because=self._why(stage, facts, before, known=known), facts=facts)
        else:
            own = (
                keys.reasons({**facts, "inputs": before.facts.get("inputs", {})}, before) if before else ("never run",)
            )
            stale = own if not before or keys.differs(facts, before) else ()
            because = stale or tuple(f"{each.name} runs" for each in upstream)
            stage = msgspec.structs.replace(stage, state="run" if stale else "maybe", because=because, facts=facts)
        self._keep(stage)

    def _why(self, stage: Stage, facts: dict[str, Any], before: Remembered | None, *, known: bool) -> tuple[str, ...]:
        there = isinstance(stage, Read) or (isinstance(stage, Check | Transform) and stage.at is not None)
        if there and not known and before is not None:
            return ("its source has no version: read on every run",)
        return keys.reasons(facts, before)

    def _keep(self, stage: Stage) -> None:
        self.stages.append(stage)
        self.by_name[stage.name] = stage

    def _maker(self, table: str) -> str | None:
        for name in (f"step:{table}", f"read:{table}"):
            if name in self.by_name:
                return name
        return None

    def _needs(self, table: str) -> tuple[str, ...]:
        if table == graph.TRAIN:
            return ("split",)
        names = (self._maker(table), f"check:{table}" if f"check:{table}" in self.by_name else None)
        return tuple(name for name in names if name)

    def _wants_split(self) -> bool:
        asked = not self.request.only or graph.TRAIN in self.request.only
        return asked or any(each.name == graph.TRAIN for step in self.steps for each in step.inputs)


def read_facts(
    project: Project, steps: tuple[Step, ...], table: str, describe: dict[str, Any], version: str | None
) -> dict[str, Any]:
    """What the content of a read depends on, as far as it is known without opening the source: address, version, and who uses it.

    Which columns are used follows from the users' code, so that code stands for the columns.
    """
    users = {
        step.name: hashing.of_json([step.code if step.lazy else "", [msgspec.to_builtins(i) for i in step.inputs]])
        for step in graph.consumers(steps, table)
    }
    contract = project.contract(table)
    written = {"written out": True} if any(sink.table == table for sink in project.sinks) else {}
    return written | {
        "address": {name: fact for name, fact in describe.items() if name != "watch"},
        "version": version,
        "used by": users,
        "contract": contract.digest if contract else "",
        "referred to by": sorted(
            [c.table, *[col.name for col in c.columns if col.references and col.references[0] == table]]
            for c in project.contracts
            if any(col.references and col.references[0] == table for col in c.columns)
        ),
    }


def write_facts(sink: SinkSpec, address: dict[str, Any], content: str) -> dict[str, Any]:
    """What is to be where: a sink with this table at this address need not be written."""
    return {
        "inputs": {sink.table: content},
        "address": {name: fact for name, fact in address.items() if name != "watch"},
    }


def split_facts(project: Project, examples: str) -> dict[str, Any]:
    """What the split depends on."""
    after = sorted({column.name for contract in project.contracts for column in contract.known_after})
    decision = project.charter.decision
    return {
        "inputs": {decision.examples: examples},
        "split": msgspec.to_builtins(project.charter.split),
        "decision": [decision.id, msgspec.to_builtins(decision.outcome)],
        "known after": after,
    }


def audit_facts(project: Project, train: str, holdout: str) -> dict[str, Any]:
    """What the search for leaks depends on."""
    decision = project.charter.decision
    return {
        "inputs": {graph.TRAIN: train, "holdout": holdout},
        "decision": [decision.id, msgspec.to_builtins(decision.outcome), decision.at, project.charter.split.on],
        "contracts": sorted(contract.digest for contract in project.contracts),
        "rules": AUDIT_RULES,
    }


def aside_facts(project: Project, examples: str) -> dict[str, Any]:
    """What the part of train that is set aside depends on."""
    return split_facts(project, examples) | {"rules": ASIDE_RULES}


def score_facts(project: Project, model: str, holdout: str) -> dict[str, Any]:
    """What the predictions depend on."""
    step = project.step(project.charter.model_step)
    environment = project.environment(step.environment) if step else None
    return {
        "inputs": {"model": model, "holdout": holdout},
        "environment": environment.digest if environment else "",
        "packages": {**environment.packages, "python": environment.python} if environment else {},
        "form": [each.form for each in step.inputs if each.name == graph.TRAIN] if step else [],
    }


def value_facts(project: Project, predictions: str, holdout: str, tried: str) -> dict[str, Any]:
    """What the valuation depends on, the number of looks apart. `tried` are the predictions for what was set aside of train."""
    columns = [column for contract in project.contracts for column in contract.columns]
    return {
        "inputs": {"predictions": predictions, "holdout": holdout, "set aside": tried},
        "charter": project.charter.digest,
        "currencies": sorted([column.name, column.currency] for column in columns if column.currency),
        "known after": sorted({column.name for column in columns if column.known == "after"}),
    }
