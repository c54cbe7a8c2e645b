"""Executes experiments: rebuilt runs, and hybrids of two. What it finds out is kept, so that nothing is done twice.

It counts no look at the holdout, writes to no sink, tells no tracker and nobody of lineage, makes no report, and knows no kill rule.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from payoff.base import hashing, switches
from payoff.base.clock import now, stopwatch
from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.base.ids import new_run_id
from payoff.execute import run as execution
from payoff.execute.again.snapshots import SnapshotSource, kept
from payoff.flows import recording, watching
from payoff.flows.comparing.books import Books
from payoff.flows.data import labels
from payoff.flows.opening import Opened
from payoff.plan import build, graph, keys
from payoff.ports.kit import Kit
from payoff.ports.observer import silent
from payoff.records.answers.request import RunRequest
from payoff.records.evidence import Evidence
from payoff.records.hybrids.attribution import Measured
from payoff.records.state import Remembered
from payoff.wiring import assemble

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payoff.flows.comparing.books import Again
    from payoff.flows.comparing.place import Place
    from payoff.flows.comparing.rebuilding import Experiment
    from payoff.ports.observer import Observer
    from payoff.records.run import RunRecord

GAIN, PER_YEAR = "gain", "per_year."
# A lock that cannot be installed here: nothing was executed, so nothing is known.
_NO_ENVIRONMENT = {"PO-X001", "PO-X005"}
_VARYING = re.compile(r"0x[0-9a-fA-F]+|\S*/\S*|'[^']*'|\"[^\"]*\"|[-+]?\d[\w.,]*")
_WORDS = re.compile(r"[^\W\d_]+")
_MOST = 1_000_000  # measurements that are looked through: all there are


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one execution gave: every metric, or the failure in words; `unknown` where there was nothing that could be executed."""

    identity: str
    replicate: int
    metrics: dict[str, float] = {}
    failed: str = ""
    unknown: str = ""
    seconds: float = 0.0


class Laboratory:
    """Executes in a place; what was measured there before is not executed again, in whichever process it was."""

    def __init__(self, place: Place, tell: Observer = silent) -> None:
        self.place = place
        self.tell = tell
        self.executions = 0
        self._known: dict[tuple[str, int], Result] | None = None

    def measure(self, experiment: Experiment, metric: str = GAIN, replicate: int = 0) -> Measured:
        """The metric of an experiment: `gain`, `per_year.NAME`, or any metric of a run.

        With `replicate` 1, 2, ... whatever could come out otherwise is executed again. Failures of steps are an outcome like any other; a failure
        of the world outside is raised, and nothing is kept of it.
        """
        return said(self.result(experiment, replicate), metric)

    def result(self, experiment: Experiment, replicate: int = 0) -> Result:
        """All that an execution gave."""
        name = (experiment.identity, replicate)
        found = self.known.get(name)
        if found is None:
            found = self._execute(experiment, replicate)
            if not found.unknown:  # what could not be executed today may be tomorrow
                body = {"subject": hashing.of_json(name), **msgspec.to_builtins(found)}
                self.place.ledger.journal(self.place.past.id, "", "measured", body)
            self.known[name] = found
        return found

    @property
    def known(self) -> dict[tuple[str, int], Result]:
        """What was measured before."""
        if self._known is None:
            events = self.place.ledger.read(self.place.past.id, limit=_MOST, event="measured").events
            results = (msgspec.convert(body, Result) for _, body in events)
            self._known = {(each.identity, each.replicate): each for each in results}
        return self._known

    def _execute(self, experiment: Experiment, replicate: int) -> Result:
        began = stopwatch()
        self.executions += 1
        try:
            record = execute(self.place, experiment, again="varying" if replicate else "stale", tell=self.tell)
        except UserError as error:
            if error.code not in _NO_ENVIRONMENT:
                raise
            return Result(identity=experiment.identity, replicate=replicate, unknown=error.what)
        failed = failure(record) if record.valuation is None else ""
        return Result(
            identity=experiment.identity,
            replicate=replicate,
            metrics=metrics(record),
            failed=failed,
            seconds=stopwatch() - began,
        )


def said(result: Result, metric: str) -> Measured:
    """One metric of what an execution gave."""
    if result.unknown:
        return Measured(state="unknown", error=result.unknown)
    if metric in result.metrics:
        return Measured(state="value", value=result.metrics[metric])
    return Measured(state="failed", error=result.failed or f"no metric {metric}")


def metrics(record: RunRecord) -> dict[str, float]:
    """Every number that runs are compared by: those of the steps, the money of each alternative a year, the gain."""
    found = dict(record.metrics)
    if record.valuation is not None:
        found |= {f"{PER_YEAR}{name}": each.mean for name, each in record.valuation.per_year.items()}
        found[GAIN] = record.valuation.gain.mean
    return found


def failure(record: RunRecord) -> str:
    """What ended a run, in words that are the same whenever it ends so: the error, the step, and a digest of what the message says.

    Numbers, paths and what is in quotes are left out of the digest: they may be values of the data, and another row's at the next execution.
    """
    for outcome in (*record.steps, *record.stages):
        known = outcome.failure
        if outcome.state == "failed" and known is not None and known.kind != "cancelled":
            words = _WORDS.findall(_VARYING.sub(" ", known.message))
            said = f" (message {hashing.of_json(words)[:4]})" if words and known.kind == "exception" else ""
            return f"{known.error} in {outcome.name}{said}"
    return next((f"{finding.code}: {finding.what}" for finding in record.errors), "")


def execute(
    place: Place, experiment: Experiment, *, again: Again, tell: Observer = silent, command: tuple[str, ...] = ()
) -> RunRecord:
    """Execute an experiment; its record is no entry of any ledger yet.

    Raises what the world outside did to it, and where its environment cannot be made or a table is gone; a failure of its steps is in the record.
    """
    began, clock = now(), stopwatch()
    opened = _open(place, experiment, again)
    request = RunRequest(project=str(opened.root), only=experiment.only, command=command)
    run = new_run_id()
    try:
        state = opened.kit.ledger.state(opened.project.id)
        _remember_tables(opened, experiment)
        plan = build.build(opened.project, state, _world(opened, experiment.variables), _wish(experiment, again))
        seen, forbidden = labels.look(opened, plan, state, request)
        if forbidden is not None:
            errors: dict[str, Exception] = {"labels": forbidden}
            result = execution.Result(steps=(), stages=(), evidence=Evidence(), errors=errors)
        else:
            machine = execution.Machine(
                workers=opened.project.workers or watching.processors(),
                system=watching.system(experiment.variables),
                at=experiment.at,
            )
            result = execution.execute(
                opened.project, plan, opened.kit, state, run=run, tell=tell, machine=machine, seen=seen
            )
        if result.interrupted:
            raise _stopped()
        _raise_outside(result)
        record = recording.record(opened, plan, result, request, run=run, began=began, clock=clock)
        return msgspec.structs.replace(record, system=watching.system(experiment.variables))
    finally:
        if opened.kit.made("executor"):
            opened.kit.executor.close()


def _open(place: Place, experiment: Experiment, again: Again) -> Opened:
    """The experiment's project with adapters that read snapshots and write nowhere."""
    project = experiment.project
    makers = assemble.again(project, place.root, place.store, dict.fromkeys(switches.NAMES, "") | experiment.variables)
    books = Books(place.ledger, place.past.kit.ledger, looks=experiment.looks, again=again, apart=experiment.apart)
    sources = {
        table: functools.partial(SnapshotSource, table, artifact, place.store, experiment.run)
        for table, artifact in experiment.tables.items()
    }
    for table in graph.sources_of(project, graph.needed_steps(project, experiment.only)):
        if table not in experiment.tables:
            raise UserError(
                f"run {experiment.run} never read the table {table}: there is no snapshot of it",
                code="PO-Q008",
                expected="a run that had read its sources before it ended",
                remedy="payoff runs, and name another",
            )
        kept(table, experiment.tables[table], place.store, experiment.run)
    return Opened(Path(project.root), project, Kit({**makers, "ledger": lambda: books}, sources))


def _remember_tables(opened: Opened, experiment: Experiment) -> None:
    """Snapshots are in the store already: reading them would write them once more."""
    project = opened.project
    steps = graph.needed_steps(project, experiment.only)
    for table, artifact in experiment.tables.items():
        source = opened.kit.source(table)
        facts = build.read_facts(project, steps, table, source.describe(), source.version())
        name = f"read:{table}"
        if keys.key(name, facts) in opened.kit.ledger.recall([keys.key(name, facts)]):
            continue
        known = Remembered(step=name, key=keys.key(name, facts), run=experiment.run, output=artifact, facts=facts)
        body = {"subject": name, **msgspec.to_builtins(known), "extra": {"columns": list(artifact.columns)}}
        opened.kit.ledger.journal(project.id, experiment.run, "step", body)


def _world(opened: Opened, variables: Mapping[str, str]) -> build.World:
    kit = opened.kit
    names = [source.table for source in opened.project.sources]
    known = {name: kit.source(name) for name in names if kit.sourced(name)}
    return build.World(
        sources={name: (each.describe(), each.version()) for name, each in known.items()},
        system=watching.system(variables),
        recall=kit.ledger.recall,
        has=kit.store.has,
    )


def _wish(experiment: Experiment, again: Again) -> build.Request:
    return build.Request(parameters=experiment.parameters, only=experiment.only, force=again == "everything")


def _stopped() -> OutsideError:
    return OutsideError(
        "it was stopped before its end, by ctrl-C or a signal",
        code="PO-Q009",
        expected="an execution that may go on to its verdict",
        remedy="the same command again: what was executed is not executed again",
    )


def _raise_outside(result: execution.Result) -> None:
    """What is no outcome of the experiment: an environment that cannot be made, a disk that is full."""
    for name, error in result.errors.items():
        step = any(outcome.failure is not None for outcome in result.steps if f"step:{outcome.name}" == name)
        outside = isinstance(error, OutsideError) and not step
        if outside or (name.startswith("environment:") and isinstance(error, PayoffError)):
            raise error
