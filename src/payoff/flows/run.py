"""`payoff run`: Request -> Project -> Kit -> State -> Plan -> Evidence -> Verdicts -> Run record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from payoff.base.clock import now, stopwatch
from payoff.base.errors import OutsideError, Refused, UserError, Where
from payoff.base.ids import new_run_id
from payoff.execute import run as execution
from payoff.execute.failures import CONFIG, At, at_source
from payoff.flows import parameters, recording, unchanged, watching
from payoff.flows.data import labels
from payoff.flows.opening import Opened, open_project
from payoff.flows.show import answer_for
from payoff.flows.show import seen as visible_to
from payoff.plan import build, explain
from payoff.ports.observer import silent
from payoff.project.git import Keeping
from payoff.records.answers.request import PlanText, RunAnswer, RunRequest
from payoff.records.evidence import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable

    from payoff.plan.place import Places
    from payoff.plan.stages import Plan
    from payoff.ports.observer import Observer
    from payoff.records.finding import Finding
    from payoff.records.run import RunRecord
    from payoff.records.state import State


def run(
    request: RunRequest,
    observer: Observer = silent,
    report: Callable[[RunRecord], str] | None = None,
) -> RunAnswer:
    """Run what is stale, judge, and write the record; a run in which nothing is stale answers with the record of the earlier one."""
    began, clock = now(), stopwatch()
    opened = open_project(request.project)
    if not opened.project.charter.model_step and not request.only:
        raise _no_model()
    try:
        return _run(opened, request, observer, report, began=began, clock=clock)
    finally:
        if opened.kit.made("executor"):
            opened.kit.executor.close()


def _run(
    opened: Opened,
    request: RunRequest,
    observer: Observer,
    report: Callable[[RunRecord], str] | None,
    *,
    began: str,
    clock: float,
) -> RunAnswer:
    _wake(opened)
    stamps = watching.stamps(opened)
    plan, state = planned(opened, request)
    seen, forbidden = labels.look(opened, plan, state, request)
    if forbidden is not None:
        return _refused(opened, plan, request, {"labels": forbidden}, run=new_run_id(), began=began, clock=clock)
    if plan.nothing_to_do and not request.only:
        earlier = recording.earlier(opened, plan)
        waiting = any(stage.state != "reuse" for stage in plan.deferred)
        if earlier and not (waiting and earlier[0].status == "passed"):
            warned = _told(opened, None) + _overdue(opened)
            if not watching.ages(opened) and not warned:
                unchanged.began(str(opened.root), stamps)
            visible = visible_to(opened, earlier[0], None)
            return replace(answer_for(opened, visible, earlier[1], unchanged=True), warnings=warned)
    run_id = new_run_id()
    if (stop := _stopped(opened, request)) is not None:
        return _refused(opened, plan, request, {"the kill rule": stop}, run=run_id, began=began, clock=clock)
    opened.kit.ledger.journal(opened.project.id, run_id, "started", {"subject": run_id, "at": began})
    kept = Keeping(opened.root, opened.project.git, run_id)
    tracker = recording.start_tracking(opened)
    result = execution.execute(
        opened.project,
        plan,
        opened.kit,
        state,
        run=run_id,
        tell=observer,
        machine=execution.Machine(workers=_workers(opened, request), system=watching.system()),
        seen=seen,
    )
    record = recording.record(opened, plan, result, request, run=run_id, began=began, clock=clock)
    record = labels.kept(opened.project, record, seen)
    record = recording.delivered(opened, plan, state, record, observer)
    opened.kit.ledger.append(record)
    kept.finish()
    visible = visible_to(opened, record, None)
    recording.write_report(opened, visible, report)
    tracking = recording.track(opened, tracker, record, patient=request.patient)
    warned = _told(opened, record) + _overdue(opened)
    if record.status != "failed" and not warned and not request.only and not watching.ages(opened):
        unchanged.began(str(opened.root), stamps)
    else:
        unchanged.forget(str(opened.root))
    if result.interrupted:
        raise KeyboardInterrupt
    return replace(answer_for(opened, visible, tracking), warnings=warned)


def _told(opened: Opened, record: RunRecord | None) -> tuple[Finding, ...]:
    """Warnings of telling the lineage of a run, or (None) what is left of earlier ones."""
    if not opened.project.lineage:
        return ()
    from payoff.flows.data import emitting

    return emitting.catch_up(opened) if record is None else emitting.emit(opened, record)


def _overdue(opened: Opened) -> tuple[Finding, ...]:
    """A warning of what is kept for too long."""
    if not watching.limited(opened.project):
        return ()
    from payoff.flows.data import expire
    from payoff.flows.data import opened as catalogs

    return expire.warnings(catalogs.Catalog(opened))


def _stopped(opened: Opened, request: RunRequest) -> Refused | None:
    if request.only or opened.project.charter.stop.after_runs is None:
        return None
    from payoff.flows import budget  # brings sqlglot, and few charters come to this

    return budget.stopped(opened)


def _refused(
    opened: Opened, plan: Plan, request: RunRequest, why: dict[str, Exception], *, run: str, began: str, clock: float
) -> RunAnswer:
    """The record of a run that was not begun."""
    result = execution.Result(steps=(), stages=(), evidence=Evidence(), errors=why)
    record = recording.record(opened, plan, result, request, run=run, began=began, clock=clock)
    opened.kit.ledger.append(record)
    return replace(answer_for(opened, visible_to(opened, record, None), {}), warnings=_told(opened, record))


def _no_model() -> UserError:
    return UserError(
        "there is no model yet: the charter names none",
        code="PO-R122",
        expected="[model] in charter.toml, with the step that makes it",
        remedy="payoff worth says what a model could be worth; then write its step in pipeline.py and name it in [model] step",
        where=Where("charter.toml"),
    )


def _wake(opened: Opened) -> None:
    """Sandboxes start while the plan is made: nearly always something is stale."""
    names = {step.environment for step in opened.project.steps if step.kind == "python"}
    for name in sorted(names):
        environment = opened.project.environment(name)
        if environment is not None:
            opened.kit.executor.prepare(environment, lambda _line: None, hint=True)


def plan_only(request: RunRequest) -> PlanText:
    """What a run would do, and why; nothing is run."""
    opened = open_project(request.project)
    known = located(opened, request, all_steps=True)
    try:
        plan, state = planned(opened, request, known)
        _, forbidden = labels.look(opened, plan, state, request)
    finally:
        if opened.kit.made("executor"):
            opened.kit.executor.close()
    if forbidden is not None:
        raise forbidden
    where = known.steps if known is not None else {}
    text = explain.text(plan)
    if where:
        text += "\n\n" + explain.queries(where, whole=request.show_sql)
    return PlanText(text=text, document=explain.document(plan) | {"queries": explain.placed(where)})


def located(opened: Opened, request: RunRequest, *, all_steps: bool = False) -> Places | None:
    """Where the lazy steps run; None when there is nothing to decide."""
    project = opened.project
    if not any(step.lazy for step in project.steps):
        return None
    from payoff.execute.pushdown.locate import locate  # only when there are queries

    values = parameters.resolve(project, request.parameters)
    return locate(project, opened.kit, values, parameters.known_steps(project, request.only), all_steps=all_steps)


def planned(opened: Opened, request: RunRequest, known: Places | None = None) -> tuple[Plan, State]:
    """What is stale, and what is known of earlier runs."""
    project, kit = opened.project, opened.kit
    state = kit.ledger.state(project.id)
    sources = {}
    for source in project.sources:
        with at_source(project, source.table):
            sources[source.table] = (kit.source(source.table).describe(), kit.source(source.table).version())
    known = known or located(opened, request)
    world = build.World(
        sources=sources,
        placements={name: each for name, each in known.steps.items() if each.place is not None} if known else {},
        unread=known.unread if known else frozenset(),
        checked={table: each.columns for table, each in known.checks.items()} if known else {},
        sinks={} if request.only else written(opened),
        system=watching.system(),
        recall=kit.ledger.recall,
        has=kit.store.has,
    )
    wish = build.Request(
        parameters=parameters.resolve(project, request.parameters),
        only=parameters.known_steps(project, request.only),
        force=request.force,
    )
    return build.build(project, state, world, wish), state


def written(opened: Opened) -> dict[str, tuple[dict[str, Any], str | None]]:
    """Per sink its address and the table that is there; one that cannot be asked now will say why when it is written to."""
    found: dict[str, tuple[dict[str, Any], str | None]] = {}
    for spec in opened.project.sinks:
        with At(Where(CONFIG, spec.line)):
            sink = opened.kit.sink(spec.name)
            try:
                found[spec.name] = (sink.describe(), sink.written())
            except OutsideError:
                found[spec.name] = (sink.describe(), None)
    return found


def _workers(opened: Opened, request: RunRequest) -> int:
    return request.workers or opened.project.workers or watching.processors()
