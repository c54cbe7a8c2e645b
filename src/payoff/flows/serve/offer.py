"""A run's record -> its model, ready to be served: the code as it was, the environment made real, the columns with what is promised of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from payoff import project as projects
from payoff.base import hashing, switches
from payoff.base.errors import OutsideError, Refused, UserError
from payoff.base.files import place_folder
from payoff.execute.tables import first_rows, schema_message
from payoff.flows.opening import Opened, open_past
from payoff.flows.serve import capacity, columns, forecasts
from payoff.flows.serve.offered import Offer
from payoff.flows.show import find
from payoff.plan import graph
from payoff.ports.kit import Kit
from payoff.project.past import folder as past_folder
from payoff.records.artifact import Field
from payoff.records.serving.served import InputColumn, Served
from payoff.reproduction.factors import switches as switched
from payoff.wiring import assemble

if TYPE_CHECKING:
    from collections.abc import Callable

    from payoff.flows.opening import Past
    from payoff.records.evidence import StepOutcome
    from payoff.records.project import Environment, Project, Step
    from payoff.records.run import RunRecord


_FEW = 32  # rows that a model must say the same of as in its run before it is served


def offer(
    folder: str | None, run: str, tell: Callable[[str], None], *, anyway: bool = False, onnx: bool = False
) -> Offer:
    """The model of a run, checked against its record. `anyway`: one that its gates refused, too; `onnx`: converted, where it then says the same.

    Raises `UserError` where the run has no model or something of it is gone, `Refused` where its gates refused it.
    """
    past = open_past(folder)
    record, _ = find(past, run)
    _refuse(record, anyway=anyway)
    made = of(past, record, projects.load(_code(past, record), record.git), tell)
    if not onnx:
        return made
    from payoff.flows.converting.onnx import converted

    return converted(made, past, record, tell).offer


def of(past: Past, record: RunRecord, project: Project, tell: Callable[[str], None]) -> Offer:
    """The model of a run; `project` are its files as they were then, in a folder of their own."""
    step = _step(project, record)
    score = next(stage for stage in record.stages if stage.name == "score")
    environment = _environment(project, step)
    variables = dict.fromkeys(switches.NAMES, "") | dict(switched(record))
    if "kind" not in project.engine:
        # A batch is small: a second thread costs more than it does.
        project = msgspec.structs.replace(project, engine={**project.engine, "threads": 1})
    makers = assemble.again(project, past.root, past.kit.store, variables)
    kit = Kit(makers, {})
    try:
        place = Path(kit.executor.prepare(environment, tell)["folder"])
    finally:
        kit.executor.close()  # the model gets a process of its own
    model = _file(past, record)
    served = _served(past, project, record, step, score, model)
    return Offer(
        served=served,
        root=Path(project.root),
        home=past.root,
        python=place / "bin" / "python",
        model=model,
        environment=environment,
        variables=variables,
        kit=kit,
        known=_known(past, record, served, score),
        settings=past.project.served if isinstance(past, Opened) else project.served,
        engine=assemble.engine_section(project),
    )


def _served(past: Past, project: Project, record: RunRecord, step: Step, score: StepOutcome, model: Path) -> Served:
    charter = record.charter
    assert charter is not None  # noqa: S101 - a run with a valuation has one
    asked = columns.asked(past, project, record, score)
    silent = columns.silent(charter, record)
    signature = score.extra["signature"]
    return Served(
        name=project.name,
        version=record.run,
        run=record.run,
        project=project.id,
        digest=record.model.id if record.model else "",
        bytes_digest=hashing.of_file(model),
        python_type=record.model.python_type if record.model else "",
        framework=str(score.extra.get("framework", "")),
        form=score.extra.get("form", "pandas"),
        step=step,
        charter=charter,
        features=asked.features,
        more=() if silent else asked.more,
        outputs=tuple(Field(each["name"], each["type"]) for each in signature["outputs"]),
        classes=None if score.extra.get("classes") is None else tuple(score.extra["classes"]),
        calibration=record.valuation.calibration if record.valuation else None,
        bar=None if silent else capacity.bar(past, project, record),
        errors=None if silent else forecasts.errors(past, record),
        id=asked.id,
        log=columns.log_rule([project, *([past.project] if isinstance(past, Opened) else [])], record, asked),
        silent=silent,
        schema=_schema(past, record, [*asked.features, *(() if silent else asked.more)]),
    )


def _known(past: Past, record: RunRecord, served: Served, score: StepOutcome) -> tuple[Any, Any]:
    rows = first_rows(past.kit.store.path(columns.holdout(record)), [each.name for each in served.features], _FEW)
    assert score.output is not None  # noqa: S101 - a stage that ended well has one
    said = first_rows(past.kit.store.path(score.output), [field.name for field in served.outputs], _FEW)
    return rows, said


def _schema(past: Past, record: RunRecord, listed: list[InputColumn]) -> bytes:
    tables = [past.kit.store.path(each) for each in (columns.holdout(record), record.tables[graph.TRAIN])]
    return schema_message(tables, [each.name for each in listed])


def _refuse(record: RunRecord, *, anyway: bool) -> None:
    if record.model is None or record.valuation is None or not any(s.name == "score" for s in record.stages):
        raise UserError(
            f"run {record.run} has no model that was valued: it was {record.status} before",
            code="PO-J001",
            expected="a run that got to its verdict",
            remedy="payoff runs, and name one that has an amount of money",
        )
    if record.status != "passed" and not anyway:
        raise Refused(
            f"run {record.run} was {record.status} by its gates: its model is not served",
            code="PO-J002",
            expected="a run that passed",
            remedy="payoff show says what it was refused for; to try the model out all the same: --anyway",
        )


def _code(past: Past, record: RunRecord) -> Path:
    """The project's files as the run found them; written once, whole or not at all."""
    folder = past.root / ".payoff" / "serving" / "code" / record.run
    if folder.is_dir():
        return folder
    part = folder.with_name(f".{record.run}.{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        past_folder.write(past.root, record.git, part, record.run)
        return place_folder(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _step(project: Project, record: RunRecord) -> Step:
    step = project.step(record.charter.model_step) if record.charter else None
    if step is None:
        raise UserError(
            f"the files of run {record.run} have no step that makes its model",
            code="PO-J003",
            expected="the step that [model] of charter.toml names",
            remedy="payoff runs, and name another run",
        )
    return step


def _environment(project: Project, step: Step) -> Environment:
    found = project.environment(step.environment)
    if found is None:
        raise UserError(
            f"the environment {step.environment!r} of step {step.name} is not in the project of that run",
            code="PO-J003",
            expected="a uv.lock under git",
            remedy="put uv.lock under git, run again, and serve that run",
        )
    return found


def _file(past: Past, record: RunRecord) -> Path:
    """The pickle, its bytes as the record has them: named by them, unless classes of the project's own count as well."""
    artifact = record.model
    assert artifact is not None  # noqa: S101 - refused before
    path = past.kit.store.path(artifact)
    named = Path(artifact.file).stem
    if hashing.of_file(path) not in {named, artifact.id}:
        raise OutsideError(
            f"the model of run {record.run} is not the one that was recorded: its file has changed",
            code="PO-J004",
            expected=f"bytes with the digest {named}",
            remedy="restore .payoff/store from a backup, or payoff run --force and serve that run",
        )
    return path
