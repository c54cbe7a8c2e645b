"""The example projects with PyTorch and TensorFlow themselves, from `payoff init` to predictions; `make frameworks` runs them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from pyarrow import parquet

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(1200)]
PAYOFF = str(Path(sys.executable).with_name("payoff"))
OPEN = """
import json, sys
import pandas
sys.path.insert(0, sys.argv[1] + "/code")
import payoff_pyfunc
rows = pandas.read_csv(sys.argv[2])[json.loads(sys.argv[3])].head(200)
print(json.dumps([float(each) for each in payoff_pyfunc._load_pyfunc(sys.argv[1] + "/model.pkl").predict(rows).ravel()]))
"""


def payoff(*words: str, at: Path) -> str:
    done = subprocess.run([PAYOFF, *words], cwd=at, capture_output=True, text=True, timeout=1000, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("template", "outcome", "framework", "switches"),
    [
        ("pytorch", "fraud", "torch", {"torch": ["seed", "deterministic algorithms, warn only"]}),
        ("tensorflow", "fails", "keras", {"tensorflow": ["seed", "op determinism"], "keras": ["seed"]}),
    ],
)
def test_the_example_project_runs_and_agrees_with_itself(
    template: str, outcome: str, framework: str, switches: dict[str, list[str]], tmp_path: Path
) -> None:
    payoff("init", "one", "--template", template, at=tmp_path)
    root = tmp_path / "one"
    assert subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True).stdout == ""
    payoff("check", at=root)
    first = json.loads(payoff("run", "--json", at=root))
    assert first["status"] == "passed"
    gain = first["per_year"]["gain"]
    assert gain["low"] > 10_000, "the example is worth it beyond doubt: luck on another machine does not turn it"

    again = json.loads(payoff("run", "--json", at=root))
    assert again["unchanged"] is True
    wider = json.loads(payoff("run", "--json", "--only", "model", at=root))
    assert {step["name"]: step["state"] for step in wider["steps"]} == {"examples": "reused", "model": "reused"}
    assert again["per_year"] == first["per_year"]

    payoff("show", first["run"], "--predictions", "said.parquet", at=root)
    said = parquet.read_table(root / "said.parquet")
    assert said.num_rows == first["holdout"]["rows"]
    chances = said[f"p_{outcome}"]
    assert 0 <= pc.min(chances).as_py() < 0.02 < 0.5 < pc.max(chances).as_py() <= 1

    record = record_of(root, first["run"])
    extra = next(each["extra"] for each in record["stages"] if each["name"] == "score")
    assert extra["framework"] == framework
    assert outcome not in extra["feature_names"]
    fingerprint = next(each["fingerprint"] for each in record["steps"] if each["name"] == "model")
    assert {name: fingerprint["switches"][name] for name in switches} == switches

    # What MLflow's clients would call, in the sandbox, which has the library.
    folder = next(path.parent for path in (root / ".payoff/mlruns").rglob("MLmodel"))
    (python,) = (root / ".payoff/environments").glob("*/bin/python")
    data = next((root / "data").glob("*.csv"))
    words = [str(folder), str(data), json.dumps(extra["feature_names"])]
    done = subprocess.run([python, "-c", OPEN, *words], cwd=root, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    by_id = {int(number): chance for number, chance in zip(said["id"].to_pylist(), chances.to_pylist(), strict=True)}
    pairs = sorted((raw, by_id[number]) for number, raw in enumerate(json.loads(done.stdout), 1) if number in by_id)
    assert len(pairs) > 40
    corrected = [chance for _, chance in pairs]  # by one curve, where train showed that the chances were off: the order stays
    assert all(one <= other + 1e-6 for one, other in zip(corrected, corrected[1:], strict=False))

    # The same step, executed once more from nothing: the same bytes, so the same model and the same money.
    (root / ".payoff").rename(tmp_path / "before")
    (root / ".payoff").mkdir()
    (tmp_path / "before" / "environments").rename(root / ".payoff" / "environments")
    fresh = json.loads(payoff("run", "--json", at=root))
    assert next(each["state"] for each in fresh["steps"] if each["name"] == "model") == "ran"
    assert record_of(root, fresh["run"])["model"]["id"] == record["model"]["id"]
    assert fresh["per_year"]["model"]["mean"] == first["per_year"]["model"]["mean"]


def record_of(root: Path, run: str) -> dict[str, Any]:
    connection = sqlite3.connect(root / ".payoff" / "ledger.db")
    (text,) = connection.execute("select body from entries where run = ?", (run,)).fetchone()
    connection.close()
    found: dict[str, Any] = json.loads(text)
    return found
