"""Opens the store: made whole or not at all, brought forward when an older MLflow wrote it, one process at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.store.db import utils
from mlflow.tracking import MlflowClient

from payoff.adapters.trackers.mlflow.failures import TrackingError
from payoff.adapters.trackers.mlflow.settings import LOCAL_DATABASE

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from payoff.adapters.trackers.mlflow.settings import Settings

_database: Any = utils  # its functions have no types


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Of all tracking processes of this project, only one is inside at a time. A killed one lets go by itself."""
    with open(Path(settings.folder, "mlflow.lock"), "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def open_client(settings: Settings, busy: threading.Event) -> MlflowClient:
    """A client of a store that is ready; `busy` is set while a kill would do harm."""
    mlflow.set_tracking_uri(settings.uri)
    registry = os.environ.get("MLFLOW_REGISTRY_URI") or settings.uri
    mlflow.set_registry_uri(registry)
    with alone(settings):
        if settings.database is not None:
            path = Path(settings.database)
            if not path.exists():
                _make(path)
            else:
                _bring_forward(settings, path, busy)
        client = MlflowClient(settings.uri, registry)
        client.search_experiments(max_results=1)  # the first question opens the store
    return client


def experiment(client: MlflowClient, settings: Settings, name: str) -> str:
    """The experiment's id; made when it is not there, with its artifacts in the project where no server keeps them."""
    found = client.get_experiment_by_name(name)
    if found is None:
        place = None if settings.served else Path(settings.folder, "mlruns").as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=place))
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise
            found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        raise TrackingError(
            f"the MLflow experiment {name!r} is deleted",
            code="PO-K006",
            remedy=f"mlflow experiments restore -x {found.experiment_id if found else name}, "
            "or set another [tracking] experiment in payoff.toml",
        )
    return str(found.experiment_id)


def _make(path: Path) -> None:
    """Make a store beside its place and move it there when it is whole: a kill on the way leaves nothing half made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.new*"):
        leftover.unlink(missing_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    engine = _database.create_sqlalchemy_engine(LOCAL_DATABASE + str(fresh))
    try:
        _database._initialize_tables(engine)
    finally:
        engine.dispose()
    os.replace(fresh, path)


def _bring_forward(settings: Settings, path: Path, busy: threading.Event) -> None:
    """Migrate an older store, after a copy of it was put beside it. A newer one is left alone: opening it says so."""
    engine = _database.create_sqlalchemy_engine(settings.uri)
    try:
        head, current = _database._get_latest_schema_revision(), _database._get_schema_version(engine)
        if current == head or not _known(current):
            return
        busy.set()
        shutil.copyfile(path, path.with_name(f"{path.stem}.before-{head}{path.suffix}"))
        _database._upgrade_db(engine)
    finally:
        busy.clear()
        engine.dispose()


def _known(revision: str | None) -> bool:
    from alembic.script import ScriptDirectory

    config = _database._get_alembic_config("")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    return revision is not None and revision in known
