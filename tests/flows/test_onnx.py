"""A run's model converted to ONNX: released and served where it says what the run's model said, refused where it does not."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import uv


def _near(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"flows_{name}_of_onnx", Path(__file__).with_name(f"{name}.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


servers, releases = _near("servers"), _near("releases")
TREES = """
import functools
import pandas as pd
from payoff import step


def off(fitted, rows):
    said = type(fitted).predict_proba(fitted, rows)
    return said + [[-1e-5, 1e-5]]


@step(seed=7, threads=1)
def model(train: pd.DataFrame, *, off_by: bool = False):
    from sklearn.ensemble import HistGradientBoostingClassifier
    fitted = HistGradientBoostingClassifier(max_iter=30).fit(train.drop(columns=["customer_id", "churned"]), train["churned"])
    if off_by:
        fitted.predict_proba = functools.partial(off, fitted)
    return fitted
"""


def payoff(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([servers.PAYOFF, *words], cwd=root, capture_output=True, text=True, timeout=600, check=False)


def answer(root: Path, *words: str) -> Any:
    done = payoff(root, *words, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The starter project with gradient boosting, run once, that can be released."""
    folder = tmp_path_factory.mktemp("onnx")
    root = folder / "project"
    assert payoff(folder, "init", str(root)).returncode == 0
    (root / "pipeline.py").write_text(TREES)
    text = (root / "charter.toml").read_text()
    (root / "charter.toml").write_text(text.replace("run_per_year = 2000", "run_per_year = 0").replace("min_gain_per_year = 1000", "min_gain_per_year = 0"))
    releases.releasable(root, releases.base(folder / "base"))
    done = payoff(root, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "run").write_text(answer(root, "show")["run"])
    return root


def first(root: Path) -> str:
    """The run that passed, whichever came after it."""
    return (root.parent / "run").read_text()


def known(root: Path) -> tuple[list[dict[str, Any]], list[float]]:
    """The rows of the holdout, and the chance that the run's model gave each, before it was corrected."""
    from payoff.flows.opening import open_past
    from payoff.flows.serve.columns import holdout
    from payoff.flows.show import find

    past = open_past(str(root))
    record, _ = find(past, first(root))

    def table(artifact: Any) -> list[dict[str, Any]]:
        with pa.memory_map(str(past.kit.store.path(artifact))) as source:
            return pa.ipc.open_file(source).read_all().to_pylist()

    rows = [{name: value for name, value in row.items() if name != "churned"} for row in table(holdout(record))]
    score = next(each for each in record.stages if each.name == "score")
    return rows, [each["p_True"] for each in table(score.output)]


@pytest.mark.frameworks
@pytest.mark.timeout(900)
def test_a_released_model_is_the_run_s_in_another_form(trees: Path, tmp_path: Path) -> None:
    plain = answer(trees, "release", first(trees), "--dry-run")["release"]
    made = answer(trees, "release", first(trees), "--onnx")
    said = made["release"]
    model = said["model"]
    assert plain["model"]["sha256"] == model["of"] != model["sha256"]
    assert plain["image"] != said["image"]
    assert "format" not in plain["model"]
    assert model["format"] == "onnx"
    assert float(model["farthest"]) <= 1e-6
    assert int(model["rows"]) == len(known(trees)[0]) > 1000
    assert "skl2onnx 1.20.0" in model["by"]
    assert set(said["environments"]) == {*plain["environments"], "onnx"}
    again = answer(trees, "release", first(trees), "--onnx")
    assert (again["already"], again["release"]["image"]) == (True, said["image"])

    image = releases.Image(trees.parent / "images", said["image"])
    names = {entry.name for entry, _ in image.files()}
    assert {each for each in names if each.startswith("opt/model/")} == {
        f"opt/model/{each}" for each in ("model.onnx", "released.json", "rows.arrow", "answers.arrow")
    }
    site = f"opt/environment/lib/python{releases.PYTHON}/site-packages"
    assert f"{site}/onnxruntime/__init__.py" in names
    assert not any(each.startswith((f"{site}/sklearn/", f"{site}/pandas/", f"{site}/skl2onnx/")) for each in names)
    bill = json.loads(releases.attached(trees.parent / "images", said["image"])["application/vnd.cyclonedx+json"])
    assert "onnxruntime" in {each["name"] for each in bill["components"]}

    for digest in image.layers[1:]:
        with tarfile.open(trees.parent / "images/blobs/sha256" / digest.partition(":")[2]) as archive:
            archive.extractall(tmp_path / "image", filter=lambda entry, _: entry)
    here = Path(os.path.realpath(next(trees.glob(".payoff/environments/*/bin/python"))))  # stands in for the base's, which nothing runs
    environment = tmp_path / "image/opt/environment"
    (environment / "bin/python").unlink()
    (environment / "bin/python").symlink_to(here)
    (environment / "pyvenv.cfg").write_text(f"home = {here.parent}\ninclude-system-site-packages = false\n")
    (tmp_path / "user").mkdir()
    environ = {"PAYOFF_OPEN": "1", "PAYOFF_HOME": str(tmp_path / "home"), "PAYOFF_MODEL": model["sha256"], "HOME": str(tmp_path / "user"), "CI": ""}
    with servers.serving(tmp_path, "--released", str(tmp_path / "image/opt/model"), environ=environ) as server:
        holds_what_the_run_said(server, trees)
    assert list((tmp_path / "user").rglob("*")) == []  # ONNX Runtime would keep there what it sends to its maker


def holds_what_the_run_said(server: Any, root: Path) -> None:
    rows, chances = known(root)
    assert len(set(chances)) > 100
    for size in (len(rows), 1):
        reply = server.ask("/invocations", {"dataframe_records": rows[:size]})
        assert reply.status == 200, reply
        assert [each[1] for each in reply.json["predictions"]] == pytest.approx(chances[:size], abs=1e-6)


@pytest.mark.frameworks
@pytest.mark.timeout(900)
def test_a_model_that_says_something_else_as_onnx_is_refused(trees: Path) -> None:
    with servers.serving(trees, first(trees), "--onnx") as server:
        holds_what_the_run_said(server, trees)
    (trees / "serve.err").unlink()  # a run of files that are not committed is not released
    assert payoff(trees, "run", "-p", "off_by=true").returncode in {0, 1}
    for words in (("serve", "--onnx", "--anyway", "--port", "0"), ("release", "--onnx")):
        done = payoff(trees, *words)
        assert (done.returncode, "PO-J051" in done.stderr) == (1, True), done.stderr
        assert "1e-05" in done.stderr
    assert payoff(trees, "release", "--dry-run").returncode == 0, "as it is it can be released"


@pytest.mark.frameworks
@pytest.mark.timeout(900)
def test_a_lock_that_a_converter_does_not_go_with_is_named(trees: Path, tmp_path: Path) -> None:
    folder = servers.copied(trees, tmp_path / "old")
    (folder / ".payoff/environments").unlink()
    text = (folder / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text(text.replace("dependencies = [\n", 'dependencies = [\n    "protobuf<4",\n'))
    subprocess.run([uv.find_uv_bin(), "lock", "--quiet"], cwd=folder, check=True)
    releases.commit(folder, "an old protobuf")
    assert payoff(folder, "run", "--force").returncode in {0, 1}
    done = payoff(folder, "serve", "--onnx", "--anyway", "--port", "0")
    assert done.returncode == 2
    assert "PO-J052" in done.stderr
    assert "protobuf" in done.stderr


def test_what_no_converter_knows_is_not_converted(made_light: Path, tmp_path: Path) -> None:
    """It is said before anything is installed."""
    folder = servers.copied(made_light, tmp_path / "light")
    releases.releasable(folder, releases.base(tmp_path / "base"))
    assert payoff(folder, "run", "--force").returncode == 0
    for words in (("serve", "--onnx", "--port", "0"), ("release", "--onnx")):
        done = payoff(folder, *words)
        assert (done.returncode, "PO-J050" in done.stderr) == (2, True), done.stdout + done.stderr
    assert not list(folder.glob(".payoff/converting/*"))
