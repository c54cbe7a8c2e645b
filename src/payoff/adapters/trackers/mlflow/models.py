"""The model of a run: logged, registered, and pointed at by the aliases `challenger` and `champion`."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND, RESOURCE_ALREADY_EXISTS, ErrorCode

from payoff.adapters.trackers.mlflow import contents, model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

    from payoff.adapters.trackers.mlflow.settings import Settings
    from payoff.records.run import RunRecord

NAME = "model"


def log(
    client: MlflowClient, settings: Settings, run: Run, record: RunRecord, files: Mapping[str, str], folder: Path
) -> str | None:
    """Log and register the run's model, if it has one and its file is there; the logged model's id."""
    if record.model is None or not Path(files.get("model", "")).is_file():
        return None
    logged = _logged(client, run, record)
    run_id, model_id = run.info.run_id, logged.model_id if logged else None
    if logged is None or logged.status != LoggedModelStatus.READY:
        model.build(folder, record, files, model.Identity(model_id, run_id, mlflow.__version__))
        if logged is None:
            client.log_artifacts(run_id, str(folder), NAME)
        else:
            client.log_model_artifacts(logged.model_id, str(folder))
            client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    if logged is not None and logged.model_id not in {each.model_id for each in _outputs(run)}:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    if record.status != "failed":
        _register(client, settings, run, record, logged)
    return model_id


def warm(client: MlflowClient, experiments: list[str], name: str) -> None:
    """Ask once what logging a model asks."""
    with suppress(MlflowException):
        client.search_logged_models(experiments, f"tags.`{contents.RUN_TAG}` = ''", max_results=1)
        client.search_model_versions(f"name = '{registered_name(name)}' and run_id = ''", max_results=1)
        client.get_model_version_by_alias(registered_name(name), "challenger")


def _logged(client: MlflowClient, run: Run, record: RunRecord) -> LoggedModel | None:
    """The run's logged model, made when it is not there; none where the server is older than MLflow 3."""
    experiment = run.info.experiment_id
    try:
        known = client.search_logged_models([experiment], f"tags.`{contents.RUN_TAG}` = '{record.run}'", max_results=1)
        if known:
            return known[0]
        step = record.charter.model_step if record.charter else ""
        return client.create_logged_model(
            experiment,
            name=NAME,
            source_run_id=run.info.run_id,
            tags={contents.RUN_TAG: record.run, "payoff.status": record.status},
            params={name: value for name, value in contents.parameters(record).items() if name.startswith(f"{step}.")},
            model_type="classifier" if model.classes_of(record, model.facts_of(record)) else None,
        )
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(ENDPOINT_NOT_FOUND):
            return None
        raise


def _outputs(run: Run) -> list[LoggedModelOutput]:
    return list(run.outputs.model_outputs) if run.outputs else []


def _register(
    client: MlflowClient, settings: Settings, run: Run, record: RunRecord, logged: LoggedModel | None
) -> None:
    name = registered_name(settings.registered_model or record.name)
    try:
        client.create_registered_model(name, tags={"payoff.project": record.project})
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    known = client.search_model_versions(f"name = '{name}' and run_id = '{run.info.run_id}'")
    if known:
        version = known[0]
    else:
        version = client.create_model_version(
            name,
            source=f"models:/{logged.model_id}" if logged else f"{run.info.artifact_uri}/{NAME}",
            run_id=run.info.run_id,
            tags={contents.RUN_TAG: record.run, "payoff.status": record.status},
            description=contents.note(record),
            model_id=logged.model_id if logged else None,
        )
    _point(client, "challenger", version, record.run)
    if record.status == "passed" and record.valuation is not None:  # a run of some steps alone is judged by no gate
        _point(client, "champion", version, record.run)


def _point(client: MlflowClient, alias: str, version: ModelVersion, run: str) -> None:
    """Point an alias at a version, unless it is at a later run's: a run that is caught up must not take it back."""
    try:
        current = client.get_model_version_by_alias(version.name, alias)
    except MlflowException:
        current = None
    if current is None or current.tags.get(contents.RUN_TAG, "") < run:
        client.set_registered_model_alias(version.name, alias, version.version)


def registered_name(name: str) -> str:
    """A name that the registry takes: it has no `/` and no `:`."""
    return re.sub(r"[/:]", "-", name).strip() or "model"
