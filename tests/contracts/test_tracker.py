"""The MLflow tracker: the contract suite, and what an unmodified MLflow client in another process reads back."""

from __future__ import annotations

import http.server
import json
import os
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from payoff.adapters.trackers.mlflow import Options, connect
from payoff.base.errors import UserError
from payoff.records.artifact import Artifact, Field
from payoff.records.finding import Finding
from payoff.records.run import EnvironmentUsed
from payoff.testing.samples import sample_record
from payoff.testing.tracker import PATIENCE, TrackerSuite

if TYPE_CHECKING:
    from collections.abc import Callable

    from payoff.records.run import RunRecord


class TestMlflowTracker(TrackerSuite):
    adapter = "payoff.trackers:mlflow"


PIPELINE = """
import pickle, sys, os
import numpy as np, pandas as pd

def double(rows):
    return rows * 2

class Rule:
    def __init__(self, above):
        self.above = above
    def predict_proba(self, rows):
        churns = (rows["load"].to_numpy() > self.above).astype(float)
        return np.column_stack([1 - churns, churns])

class Evil:
    def __reduce__(self):
        return (os.system, ("touch was-opened",))
"""
TRAIN = """
import pickle, sys
sys.path.insert(0, ".")
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
import pipeline
rows = pd.DataFrame({"customer_id": range(8), "load": [0.1, 0.9] * 4})
model = make_pipeline(FunctionTransformer(pipeline.double), LogisticRegression()).fit(rows, [False, True] * 4)
for name, made in {"scikit": model, "rule": pipeline.Rule(0.5), "evil": pipeline.Evil()}.items():
    with open(f"{name}.pickle", "wb") as stream:
        pickle.dump(made, stream)
print(model.predict_proba(rows.head(2)).tolist())
"""
# Only what a user of MLflow would write; runs in a process of its own, in another folder.
READ = """
import json, sys
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
runs = {}
experiment = client.get_experiment_by_name("churn")
for run in client.search_runs([experiment.experiment_id], max_results=1000):
    data = [(i.dataset.name, i.dataset.digest, json.loads(i.dataset.profile)["num_rows"], i.tags[0].value,
             type(mlflow.data.get_source(i)).__name__) for i in run.inputs.dataset_inputs]
    runs.setdefault(run.info.run_name, []).append({
        "run_id": run.info.run_id, "status": run.info.status, "start": run.info.start_time, "end": run.info.end_time,
        "params": run.data.params, "metrics": run.data.metrics, "tags": run.data.tags, "inputs": sorted(data),
        "outputs": [m.model_id for m in run.outputs.model_outputs], 
        "history": len(client.get_metric_history(run.info.run_id, "loss")),
        "artifacts": [f.path for f in client.list_artifacts(run.info.run_id)]})
    if len(sys.argv) > 2:
        continue
answer = {"runs": runs}
if len(sys.argv) == 2:
    aliases = {a: client.get_model_version_by_alias("churn", a) for a in ("champion", "challenger")}
    answer["aliases"] = {a: v.tags["payoff.run"] for a, v in aliases.items()}
    answer["versions"] = len(client.search_model_versions("name = 'churn'"))
    answer["logged"] = [[m.name, m.status, m.tags["payoff.run"], {x.key: x.value for x in m.metrics}]
                        for m in client.search_logged_models([experiment.experiment_id])]
    rows = pd.DataFrame({"customer_id": [0, 1], "load": [0.1, 0.9]})
    champion = mlflow.pyfunc.load_model("models:/churn@champion")
    answer["champion"] = champion.predict(rows).tolist()
    answer["inputs"] = champion.metadata.get_input_schema().to_dict()
    answer["outputs"] = champion.metadata.get_output_schema().to_dict()
    answer["example"] = champion.input_example is not None and champion.input_example.to_dict("list")
    answer["metadata"] = champion.metadata.metadata["payoff"]
    answer["scikit"] = mlflow.sklearn.load_model("models:/churn@champion").predict_proba(rows).tolist()
    answer["by_run"] = mlflow.pyfunc.load_model(f"runs:/{aliases['champion'].run_id}/model").predict(rows).tolist()
    answer["challenger"] = mlflow.pyfunc.load_model("models:/churn@challenger").predict(rows).tolist()
    answer["record"] = mlflow.artifacts.load_dict(f"runs:/{aliases['champion'].run_id}/record.json")["run"]
    answer["requirements"] = open(mlflow.artifacts.download_artifacts("models:/churn@champion/requirements.txt")).read()
print("ANSWER" + json.dumps(answer))
"""
SCIKIT, RULE, EVIL, FAILED, OLDER = (
    f"20261123-{time}-{name}"
    for time, name in (
        ("100001", "scikit"),
        ("100002", "rule"),
        ("100000", "evil"),
        ("100003", "failed"),
        ("090000", "older"),
    )
)


def ask(script: str, *arguments: str, cwd: Path) -> str:
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def read(root: Path, uri: str, *, only_runs: bool = False) -> Any:
    """What an MLflow client sees."""
    return json.loads(ask(READ, uri, *(["runs"] if only_runs else []), cwd=root.parent).partition("ANSWER")[2])


def record(run: str, model: str = "", kind: str = "", **changes: Any) -> RunRecord:
    """A record whose model takes `customer_id` and `load`."""
    fields = (Field("customer_id", "int64"), Field("load", "double"), Field("churned", "bool"))
    scored = (Field("customer_id", "int64"), Field("p_stays", "double"), Field("p_churned", "double"))
    made = sample_record(run, **changes)
    packages = {"scikit-learn": "1.7.0", "pandas": "2.3.3", "churn": "0.1.0"}
    return msgspec.structs.replace(
        made,
        tables={**made.tables, "train": msgspec.structs.replace(made.tables["train"], fields=fields)},
        environments=(EnvironmentUsed(name="default", digest="e" * 32, python="3.11.7", packages=packages),),
        model=Artifact(id=f"o-{model}", kind="object", file=model, bytes=1, python_type=kind) if model else None,
        predictions=Artifact(id="p", kind="table", file="p", bytes=1, rows=2_500, fields=scored) if model else None,
    )


class Tracked:
    """A project whose runs were tracked, and what a client reads of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "pipeline.py").write_text(PIPELINE)
        self.expected = json.loads(ask(TRAIN, cwd=root))
        (root / "report.html").write_text("<html>money</html>")
        (root / "example.json").write_text(json.dumps({"columns": ["load"], "data": [[0.25], [0.75]]}))
        tracker = connect(root)
        error = Finding(code="PO-X001", what="the step model raised ValueError")
        scikit = record(SCIKIT, "scikit", "sklearn.pipeline.Pipeline")
        tracker.track(
            scikit, {**self.files("scikit"), "report": str(root / "report.html"), "example": str(root / "example.json")}
        )
        tracker.track(record(EVIL, "evil", "pipeline.Evil", status="refused"), self.files("evil"))
        tracker.track(record(RULE, "rule", "pipeline.Rule", status="refused"), self.files("rule"))
        tracker.track(record(FAILED, status="failed", valuation=None, verdicts=(), errors=(error,)), {})
        tracker.track(record(OLDER, "scikit", "sklearn.pipeline.Pipeline"), self.files("scikit"))
        self.answers = tracker.finish(PATIENCE)
        self.uri = tracker.address()["uri"]
        self.seen = read(root, self.uri)

    def files(self, model: str) -> dict[str, str]:
        return {"model": str(self.root / f"{model}.pickle"), "code": str(self.root)}

    def run(self, name: str) -> Any:
        (only,) = self.seen["runs"][name]
        return only


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    return Tracked(tmp_path_factory.mktemp("projéct with spaces"))


def test_every_run_is_there_once_under_its_own_name(tracked: Tracked) -> None:
    ids = {name: run["run_id"] for name, (run,) in tracked.seen["runs"].items()}
    assert ids == {name: answer["run_id"] for name, answer in tracked.answers.items()}
    assert set(ids) == {SCIKIT, RULE, EVIL, FAILED, OLDER}


def test_status_and_times_are_the_records(tracked: Tracked) -> None:
    assert {name: tracked.run(name)["status"] for name in (SCIKIT, RULE, FAILED)} == {
        SCIKIT: "FINISHED",
        RULE: "FINISHED",
        FAILED: "FAILED",
    }
    run = tracked.run(SCIKIT)
    assert run["end"] - run["start"] == 6_500
    assert run["start"] % 1000 == 123


def test_parameters_metrics_and_money(tracked: Tracked) -> None:
    run = tracked.run(SCIKIT)
    assert run["params"] == {"model.max_iter": "200", "model.grid": "[1,2]", "model.note": "null"}
    assert run["metrics"]["gain_per_year_low"] == 37_000
    assert run["metrics"]["per_year_everyone"] == 16_000
    assert run["metrics"]["auc"] == 0.81
    assert run["metrics"]["loss"] == 0.25
    assert "gain_per_year_low" not in tracked.run(FAILED)["metrics"]


def test_tags_say_where_it_came_from_and_what_was_decided(tracked: Tracked) -> None:
    tags = tracked.run(SCIKIT)["tags"]
    assert tags["payoff.run"] == SCIKIT
    assert tags["mlflow.source.git.commit"] == "d" * 40
    assert tags["verdict.beats_baseline"].startswith("passed: 37,000 EUR")
    assert "+84,000 EUR a year" in tags["mlflow.note.content"]
    assert tracked.run(FAILED)["tags"]["error.0"] == "PO-X001: the step model raised ValueError"


def test_tables_are_dataset_inputs(tracked: Tracked) -> None:
    found = {name: (rows, context, source) for name, _, rows, context, source in tracked.run(SCIKIT)["inputs"]}
    assert found == {
        "customers": (10_000, "source", "CodeDatasetSource"),
        "examples": (10_000, "derived", "CodeDatasetSource"),
        "train": (7_500, "train", "CodeDatasetSource"),
        "holdout": (2_500, "holdout", "CodeDatasetSource"),
    }
    digests = {name: digest for name, digest, *_ in tracked.run(SCIKIT)["inputs"]}
    assert digests["train"] == record(SCIKIT).tables["train"].id[:36]


def test_artifacts_are_there_and_predictions_are_not(tracked: Tracked) -> None:
    assert set(tracked.run(SCIKIT)["artifacts"]) == {"record.json", "charter.json", "report.html"}
    assert tracked.seen["record"] == SCIKIT


def test_a_scikit_learn_model_comes_back_as_one_and_gives_probabilities(tracked: Tracked) -> None:
    for way in ("champion", "scikit", "by_run"):
        assert tracked.seen[way] == tracked.expected, way
    assert tracked.seen["inputs"] == [
        {"type": "long", "name": "customer_id", "required": True},
        {"type": "double", "name": "load", "required": True},
    ]
    assert tracked.seen["outputs"][0]["tensor-spec"] == {"dtype": "float64", "shape": [-1, 2]}
    assert tracked.seen["metadata"]["classes"] == ["stays", "churned"]
    assert tracked.seen["example"] == {"load": [0.25, 0.75]}


def test_requirements_are_the_locks_pins(tracked: Tracked) -> None:
    lines = tracked.seen["requirements"].split()
    assert {"scikit-learn==1.7.0", "pandas==2.3.3"} < set(lines)
    assert any(line.startswith("mlflow>=3") for line in lines)
    assert not any(line.startswith("churn") for line in lines)


def test_a_model_of_the_projects_own_class_loads_anywhere(tracked: Tracked) -> None:
    assert tracked.seen["challenger"] == [[1.0, 0.0], [0.0, 1.0]]


def test_aliases_follow_the_newest_run_and_the_newest_that_passed(tracked: Tracked) -> None:
    assert tracked.seen["aliases"] == {"champion": SCIKIT, "challenger": RULE}
    assert tracked.seen["versions"] == 4


def test_models_are_logged_models_with_metrics(tracked: Tracked) -> None:
    logged = {run: (name, status, metrics["auc"]) for name, status, run, metrics in tracked.seen["logged"]}
    assert set(logged) == {SCIKIT, RULE, EVIL, OLDER}
    assert set(logged.values()) == {("model", "READY", 0.81)}
    assert len(tracked.run(SCIKIT)["outputs"]) == 1


def test_no_pickle_is_opened(tracked: Tracked) -> None:
    assert tracked.answers[EVIL]["run_id"]
    assert not list(tracked.root.rglob("was-opened"))


def rows_of(root: Path, question: str, *values: str) -> list[tuple[Any, ...]]:
    try:
        connection = sqlite3.connect(f"file:{root / '.payoff' / 'mlflow.db'}?mode=ro", uri=True)
    except sqlite3.OperationalError:
        return []
    try:
        return connection.execute(question, values).fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.002)


@pytest.mark.parametrize(
    "moment", ["select 1 from runs where name = ?", "select 1 from logged_model_tags where tag_value = ?"]
)
def test_a_run_half_written_when_its_process_was_killed_is_completed(tracked: Tracked, moment: str) -> None:
    run = f"20261123-110000-{len(moment)}"
    killed = connect(tracked.root)
    killed.track(record(run, "scikit", "sklearn.pipeline.Pipeline"), tracked.files("scikit"))
    assert killed._process is not None
    until(lambda: rows_of(tracked.root, moment, run))
    os.kill(killed._process.pid, signal.SIGKILL)
    answer = killed.finish(10)[run]
    assert answer["code"] == "PO-K007"
    assert not rows_of(
        tracked.root,
        "select 1 from tags t join runs r using (run_uuid) where r.name = ? and t.key = 'payoff.tracked'",
        run,
    )
    again = connect(tracked.root)
    again.track(record(run, "scikit", "sklearn.pipeline.Pipeline"), tracked.files("scikit"))
    assert again.finish(PATIENCE)[run]["run_id"]
    (only,) = read(tracked.root, tracked.uri, only_runs=True)["runs"][run]
    assert only["status"] == "FINISHED"
    assert (len(only["outputs"]), len(only["inputs"]), only["history"]) == (1, 4, 1)
    assert len(rows_of(tracked.root, "select 1 from model_versions where run_id = ?", only["run_id"])) == 1
    assert len(rows_of(tracked.root, "select 1 from logged_models where source_run_id = ?", only["run_id"])) == 1
    assert not list((tracked.root / ".payoff").glob("mlflow-work-*"))


def test_a_kill_while_the_store_is_made_leaves_no_half_made_store(tmp_path: Path) -> None:
    tracker = connect(tmp_path)
    tracker.track(record("20261123-120000-aaaaaa"), {})
    assert tracker._process is not None
    until(lambda: list((tmp_path / ".payoff").glob(".mlflow.db.new")))
    os.kill(tracker._process.pid, signal.SIGKILL)
    tracker.finish(10)
    assert not (tmp_path / ".payoff" / "mlflow.db").exists()
    again = connect(tmp_path)
    again.track(record("20261123-120000-aaaaaa"), {})
    assert again.finish(PATIENCE)["20261123-120000-aaaaaa"]["run_id"]


def test_a_process_that_was_given_nothing_ends(tmp_path: Path) -> None:
    tracker = connect(tmp_path)
    tracker.start()
    assert tracker._process is not None
    pid = tracker._process.pid
    tracker.finish(0)
    until(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, 20)


def answer_of(root: Path, **options: Any) -> dict[str, Any]:
    tracker = connect(root, Options(**options))
    tracker.track(record("20261123-130000-aaaaaa"), {})
    answers: dict[str, dict[str, Any]] = tracker.finish(PATIENCE)
    return answers["20261123-130000-aaaaaa"]


def test_a_server_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    answer = answer_of(tmp_path, uri="http://somebody:s3cr3t-word@127.0.0.1:9")
    assert answer["code"] == "PO-K002"
    assert "127.0.0.1:9" in answer["error"]
    assert "s3cr3t-word" not in str(answer) + (tmp_path / ".payoff" / "mlflow.log").read_text()


def test_a_damaged_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / ".payoff" / "mlflow.db"
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    assert answer_of(tmp_path)["code"] == "PO-K005"
    assert path.read_bytes().startswith(b"no database")


class Unauthorized(http.server.BaseHTTPRequestHandler):
    """A server that knows nobody."""

    def do_GET(self) -> None:
        self.send_error(401)

    do_POST = do_GET  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_a_server_that_does_not_know_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "s3cr3t-token")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unauthorized) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        answer = answer_of(tmp_path, uri=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert answer["code"] == "PO-K003"
    assert "MLFLOW_TRACKING_TOKEN" in answer["try"]
    assert "s3cr3t-token" not in str(answer) + (tmp_path / ".payoff" / "mlflow.log").read_text()


@pytest.mark.slow
def test_the_command_that_is_named_shows_the_runs_and_a_stock_server_takes_new_ones(tracked: Tracked) -> None:
    """Runs `uvx --from mlflow==... mlflow ui` as it is printed; its server is the stock one."""
    command = shlex.split(connect(tracked.root).address()["command"])
    try:
        subprocess.run([*command[: command.index("ui") + 1], "--help"], check=True, capture_output=True, timeout=280)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"the full mlflow cannot be fetched here: {type(error).__name__}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tracked.root / "server.log").open("wb")
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    server = subprocess.Popen(
        [*command, "--port", str(port)],
        env=environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
        cwd=tracked.root,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(f"{address}/health"))
        assert {SCIKIT, RULE, EVIL, FAILED, OLDER} <= set(read(tracked.root, address, only_runs=True)["runs"])
        served = connect(tracked.root, Options(uri=address))
        run = "20261124-100000-served"
        served.track(record(run, "scikit", "sklearn.pipeline.Pipeline"), tracked.files("scikit"))
        answer = served.finish(PATIENCE)[run]
        assert answer["uri"] == address
        seen = read(tracked.root, address)
        assert seen["runs"][run][0]["run_id"] == answer["run_id"]
        assert seen["aliases"] == {"champion": run, "challenger": run}
        assert seen["champion"] == tracked.expected
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
        log.close()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


@pytest.fixture
def fresh(tracked: Tracked, tmp_path: Path) -> Path:
    """A project with a copy of a store: faster than making one."""
    (tmp_path / ".payoff").mkdir()
    with sqlite3.connect(tracked.root / ".payoff" / "mlflow.db") as source:
        with sqlite3.connect(tmp_path / ".payoff" / "mlflow.db") as target:
            source.backup(target)
        target.close()
    source.close()
    return tmp_path


def change(root: Path, statement: str) -> None:
    with sqlite3.connect(root / ".payoff" / "mlflow.db") as connection:
        connection.execute(statement)
    connection.close()


def test_a_store_of_a_newer_mlflow_is_left_alone(fresh: Path) -> None:
    change(fresh, "update alembic_version set version_num = 'fedcba987654'")
    answer = answer_of(fresh)
    assert answer["code"] == "PO-K004"
    assert "mlflow db upgrade" in answer["try"]


def test_a_deleted_experiment(fresh: Path) -> None:
    change(fresh, "update experiments set lifecycle_stage = 'deleted' where name = 'churn'")
    assert answer_of(fresh)["code"] == "PO-K006"


OLD_STORE = """
import sys
from alembic import command
from mlflow.store.db import utils
from mlflow.store.tracking.dbmodels.initial_models import Base
engine = utils.create_sqlalchemy_engine(sys.argv[1])
Base.metadata.create_all(engine)
config = utils._get_alembic_config(str(engine.url))
with engine.begin() as connection:
    config.attributes["connection"] = connection
    command.upgrade(config, "heads-1")
"""


def test_a_store_of_an_older_mlflow_is_brought_forward(tmp_path: Path) -> None:
    (tmp_path / ".payoff").mkdir()
    ask(OLD_STORE, f"sqlite:///{tmp_path}/.payoff/mlflow.db", cwd=tmp_path)
    before = rows_of(tmp_path, "select version_num from alembic_version")
    assert answer_of(tmp_path)["run_id"]
    assert rows_of(tmp_path, "select version_num from alembic_version") != before
    assert list((tmp_path / ".payoff").glob("mlflow.before-*.db"))


def test_other_names_and_no_tracking(fresh: Path) -> None:
    answer = answer_of(fresh, experiment="elsewhere", registered_model="a/b")
    question = "select e.name from runs r join experiments e using (experiment_id) where run_uuid = ?"
    assert rows_of(fresh, question, answer["run_id"]) == [("elsewhere",)]
    off = connect(fresh, Options(enabled=False))
    off.start()
    off.track(record("20261123-140000-aaaaaa"), {})
    assert off.finish(PATIENCE) == {}


def test_an_address_of_no_kind_that_is_known(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        connect(tmp_path, Options(uri="htps://user:s3cr3t-word@server"))
    assert caught.value.code == "PO-K001"
    assert "nearest: http" in caught.value.expected
    assert "s3cr3t-word" not in str(caught.value)


def test_the_address_to_look_at(tmp_path: Path) -> None:
    local = connect(tmp_path).address()
    assert local["uri"] == f"sqlite:///{tmp_path}/.payoff/mlflow.db"
    assert f"mlflow ui --backend-store-uri {local['uri']}" in local["command"]
    served = connect(tmp_path, Options(uri="https://me:s3cr3t-word@tracking.example")).address()
    assert served["uri"] == "https://***@tracking.example"
    assert "s3cr3t-word" not in str(served)


def test_the_control_side_never_imports_mlflow(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, payoff.adapters.trackers.mlflow as t; t.connect(pathlib.Path(sys.argv[1])).start();"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    loaded = set(ask(code, str(tmp_path), cwd=tmp_path).split())
    assert "payoff" in loaded
    assert not loaded & {"mlflow", "sqlalchemy", "yaml", "pandas", "numpy", "pyarrow"}
