"""One Payoff run as one MLflow run. Parts are looked for before they are made: a half-written run is completed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from payoff.adapters.trackers.mlflow import contents, models
from payoff.adapters.trackers.mlflow.settings import redacted
from payoff.adapters.trackers.mlflow.store import alone, experiment, open_client

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping, Sequence

    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

    from payoff.adapters.trackers.mlflow.settings import Settings
    from payoff.records.run import RunRecord

_BATCH = 100  # MLflow's limit of parameters or tags in one call
_WORK = "mlflow-work-"


class Log:
    """An open store that runs are logged to."""

    def __init__(self, settings: Settings, busy: threading.Event) -> None:
        self.settings = settings
        self.client = open_client(settings, busy)

    def warm(self) -> None:
        """Ask once what a run will ask, while there is time: the first question of a kind costs the most."""
        found = self.client.get_experiment_by_name(self.settings.experiment) if self.settings.experiment else None
        experiments = [found.experiment_id if found else "0"]
        self.client.search_runs(experiments, f"tags.`{contents.RUN_TAG}` = ''", max_results=1)
        models.warm(self.client, experiments, self.settings.registered_model)

    def track(self, record: RunRecord, files: Mapping[str, str]) -> dict[str, Any]:
        """Log a run, or what is still missing of it; answers where it is."""
        with alone(self.settings):
            found = self._find(record)
            if contents.DONE_TAG not in found.data.tags:
                self._log(found, record, files)
            return {"uri": redacted(self.settings.uri), "run_id": found.info.run_id}

    def _find(self, record: RunRecord) -> Run:
        name = experiment(self.client, self.settings, self.settings.experiment or record.name)
        question = f"tags.`{contents.RUN_TAG}` = '{record.run}'"
        known = self.client.search_runs([name], question, max_results=1, order_by=["attributes.start_time ASC"])
        if known:
            return known[0]
        tags = {contents.RUN_TAG: record.run}
        return self.client.create_run(name, contents.milliseconds(record.started), tags, run_name=record.run)

    def _log(self, run: Run, record: RunRecord, files: Mapping[str, str]) -> None:
        run_id, done = run.info.run_id, contents.milliseconds(record.finished)
        for leftover in Path(self.settings.folder).glob(f"{_WORK}*"):  # of a process that was killed: we are alone here
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=_WORK, dir=self.settings.folder) as folder:
            model_id = models.log(self.client, self.settings, run, record, files, Path(folder, "model"))
            self._values(run_id, record, done, model_id)
            _inputs(self.client, run, record)
            self._files(run_id, record, files, Path(folder))
        self.client.set_terminated(run_id, "FAILED" if record.status == "failed" else "FINISHED", done)
        self.client.set_tag(run_id, contents.DONE_TAG, "yes")

    def _values(self, run_id: str, record: RunRecord, done: int, model_id: str | None) -> None:
        parameters = [Param(name, value) for name, value in contents.parameters(record).items()]
        tags = [RunTag(name, value) for name, value in contents.tags(record).items()]
        metrics = [Metric(name, value, done, 0, model_id=model_id) for name, value in contents.metrics(record).items()]
        for part in _batches(parameters):
            self.client.log_batch(run_id, params=part)
        for part in _batches(tags):
            self.client.log_batch(run_id, tags=part)
        for part in _batches(metrics):
            self.client.log_batch(run_id, metrics=part)

    def _files(self, run_id: str, record: RunRecord, files: Mapping[str, str], folder: Path) -> None:
        """The record, the charter and the report. Predictions stay at home: they hold the ids of people."""
        shown = folder / "run"
        shown.mkdir()
        text = msgspec.json.format(msgspec.json.encode(record), indent=2)
        (shown / "record.json").write_bytes(text)
        if record.charter:
            (shown / "charter.json").write_bytes(msgspec.json.format(msgspec.json.encode(record.charter), indent=2))
        for name in ("report", "charter"):
            if name in files and Path(files[name]).is_file():
                shutil.copyfile(files[name], shown / f"{name}{Path(files[name]).suffix}")
        self.client.log_artifacts(run_id, str(shown))


def _inputs(client: MlflowClient, run: Run, record: RunRecord) -> None:
    there = {(each.dataset.name, each.dataset.digest) for each in (run.inputs.dataset_inputs if run.inputs else ())}
    wanted = [
        DatasetInput(
            Dataset(each.name, each.digest, "code", each.source, each.schema, each.profile),
            [InputTag("mlflow.data.context", each.context)],
        )
        for each in contents.inputs(record)
        if (each.name, each.digest) not in there
    ]
    if wanted:
        client.log_inputs(run.info.run_id, wanted)


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
