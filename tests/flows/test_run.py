"""The whole path on the starter project: init, run, what runs again and why, what is refused, what is kept."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from conftest import Light

PAYOFF = str(Path(sys.executable).with_name("payoff"))


def payoff(*words: str, at: Path, code: int = 0) -> str:
    done = subprocess.run([PAYOFF, *words], cwd=at, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def run(at: Path, *words: str, code: int = 0) -> dict[str, Any]:
    return json.loads(payoff("run", "--json", *words, at=at, code=code))


def states(answer: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["state"] for step in answer["steps"]}


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_first_run_ends_on_money(made: Path) -> None:
    answer = json.loads((made / ".payoff/first.json").read_text())
    assert {"nobody", "everyone", "callers"} == set(answer["per_year"]["alternatives"])
    gain = answer["per_year"]["gain"]
    assert gain["low"] < gain["mean"] < gain["high"]
    best = max(answer["per_year"]["alternatives"].values(), key=lambda each: each["mean"])
    assert answer["per_year"]["perfect"]["mean"] >= answer["per_year"]["model"]["mean"] >= best["mean"]
    assert gain["mean"] == pytest.approx(answer["per_year"]["model"]["mean"] - best["mean"] - 2000, abs=0.01)
    assert answer["holdout"]["looks"] == 1
    assert answer["tracking"]["run_id"]
    first = payoff("show", at=made).splitlines()[0]
    assert re.search(r"[+-][\d,]+ EUR a year \(95 % interval [+-][\d,]+ … [+-][\d,]+\)", first)


def test_nothing_changed_nothing_done(project: Path) -> None:
    first = run(project)  # a copy's files are other files: they are read again, and found to be the same
    assert set(states(first).values()) == {"reused"}
    assert first["holdout"]["looks"] == 1
    again = run(project)
    assert again["unchanged"] is True
    assert set(states(again).values()) == {"reused"}
    assert again["run"] == first["run"]
    assert "unchanged since" in payoff("run", at=project)
    assert "unchanged since" in payoff("run", at=project)


def test_a_copy_is_a_project_of_its_own(made: Path, project: Path, tmp_path: Path) -> None:
    run(project)
    assert run(project)["unchanged"] is True
    other = Path(shutil.copytree(project, tmp_path / "other", symlinks=True))
    change(other / "charter.toml", "run_per_year = 2000", "run_per_year = 3000")
    answer = run(other)
    assert answer["unchanged"] is False
    first = json.loads((made / ".payoff/first.json").read_text())
    assert answer["per_year"]["gain"]["mean"] == pytest.approx(first["per_year"]["gain"]["mean"] - 1000)


def test_comments_and_formatting_change_nothing(project: Path) -> None:
    run(project)
    change(
        project / "pipeline.py", "    features = train", "    # what the model may learn from\n\n    features = train"
    )
    change(project / "sql/examples.sql", "from customers", "FROM   customers -- all of them")
    assert run(project)["unchanged"] is True


def test_a_parameter_runs_what_it_changes_and_says_why(project: Path) -> None:
    answer = run(project, "-p", "C=0.5")
    assert states(answer) == {"examples": "reused", "model": "ran"}
    model = next(step for step in answer["steps"] if step["name"] == "model")
    assert model["because"] == ["parameter C: 1.0 -> 0.5"]
    assert answer["holdout"]["looks"] == 2
    first = json.loads((project / ".payoff/first.json").read_text())
    assert answer["run"] != first["run"]
    payoff("run", "-p", "c=1", at=project, code=2)


def test_a_helper_two_modules_away_is_code_of_the_step(light: Light) -> None:
    (light.root / "lib").mkdir()
    (light.root / "lib/__init__.py").write_text("")
    (light.root / "lib/near.py").write_text("from lib.far import scale\n\ndef used():\n    return scale()\n")
    (light.root / "lib/far.py").write_text("def scale():\n    return 1.0\n")
    light.change("pipeline.py", "from payoff import step", "from lib.near import used\nfrom payoff import step")
    light.change("pipeline.py", "return Fitted(slope)", "return Fitted(slope * used())")
    assert states(light.run()) == {"examples": "reused", "rates": "reused", "model": "ran"}
    light.change("lib/far.py", "    return 1.0", "    # by how much\n    return 1.0")
    assert set(states(light.run()).values()) == {"reused"}
    light.change("lib/far.py", "1.0", "0.9")
    answer = light.run()
    assert [s["because"] for s in answer["steps"] if s["name"] == "model"] == [["code of lib.far.scale changed"]]
    assert states(answer) == {"examples": "reused", "rates": "reused", "model": "ran"}


def test_changed_data_runs_everything_and_both_versions_stay(light: Light) -> None:
    light.more_customers()
    answer = light.run()
    assert states(answer) == {"examples": "ran", "rates": "ran", "model": "ran"}
    assert answer["tables"]["customers"] != light.first["tables"]["customers"]
    stored = {path.name for path in (light.root / ".payoff/store/tables").rglob("*.arrow")}
    assert len(stored) >= 8


def test_a_broken_promise_refuses_before_training(project: Path) -> None:
    with open(project / "data/customers.csv", "a", encoding="utf-8") as stream:
        stream.write("1,-5,1,0,100.0,true\n")
    answer = run(project, code=1)
    assert answer["status"] == "refused"
    assert states(answer)["model"] == "skipped"
    reasons = " ".join(check["reason"] for check in answer["checks"] if not check["passed"])
    assert "1 row" in reasons
    assert [v["passed"] for v in answer["verdicts"] if v["gate"] == "contract"] == [False]


def test_a_worthless_model_is_refused(light: Light) -> None:
    """It gives every row the same chance, that of all rows."""
    light.change("pipeline.py", "        return [[1 - chance, chance] for chance in chances]", "        return [[0.8, 0.2] for _ in chances]")
    answer = light.run(code=1)
    assert answer["status"] == "refused"
    assert [v["gate"] for v in answer["verdicts"] if not v["passed"]] == ["beats_baseline"]


def test_a_model_made_alone_is_not_judged_and_becomes_no_champion(project: Path) -> None:
    first = json.loads((project / ".payoff/first.json").read_text())
    answer = run(project, "--only", "model", "-p", "C=0.5")
    assert states(answer)["model"] == "ran"
    assert answer["verdicts"] == []
    assert answer["per_year"] is None
    assert payoff("show", at=project).startswith("Made, not judged")
    with contextlib.closing(sqlite3.connect(project / ".payoff/mlflow.db")) as store:
        aliases = dict(
            store.execute(
                "select a.alias, t.value from registered_model_aliases a join model_version_tags t"
                " on a.name = t.name and a.version = t.version and t.key = 'payoff.run'"
            )
        )
    assert aliases == {"champion": first["run"], "challenger": answer["run"]}


def test_a_step_that_raises_shows_its_own_traceback_and_keeps_the_rest(light: Light) -> None:
    light.change("pipeline.py", "    assert rates", "    raise RuntimeError('no')\n    assert rates")
    text = light.payoff("run", code=2)
    assert "RuntimeError" in text
    assert "pipeline.py" in text
    assert "_payoff_worker" not in text
    light.mend()
    assert set(states(light.run()).values()) == {"reused"}


def test_tables_may_be_named_as_what_the_run_makes(light: Light) -> None:
    """Sources called `scores` and `predictions` stay what they are, beside the model's own."""
    for name in ("scores", "predictions"):
        (light.root / f"data/{name}.csv").write_text("calls_to_support,rank\n1,2\n2,3\n")
        light.append("payoff.toml", f'\n[sources.{name}]\nkind = "files"\npath = "data/{name}.csv"\n')
    light.change(
        "pipeline.py",
        "def rates(train: pa.Table) -> pa.Table:\n",
        "def rates(train: pa.Table, scores: pa.Table, predictions: pa.Table) -> pa.Table:\n    assert scores.num_rows == predictions.num_rows == 2\n",
    )
    answer = light.run()
    assert {name: answer["tables"][name]["rows"] for name in ("scores", "predictions")} == {"scores": 2, "predictions": 2}
    assert light.run()["unchanged"]
    light.payoff("show", "latest", "--predictions", "said.parquet")
    assert pq.read_table(light.root / "said.parquet").num_rows > 1000
    assert light.payoff("reproduce", "latest").startswith("Exact")


def test_predictions_can_be_had(project: Path) -> None:
    import pyarrow.parquet as pq

    payoff("show", "latest", "--predictions", "scored.parquet", at=project)
    table = pq.read_table(project / "scored.parquet")
    answer = json.loads((project / ".payoff/first.json").read_text())
    assert table.column_names == [
        "id",
        "outcome",
        "p_churned",
        "p_stays",
        "action",
        "payoff_offer",
        "payoff_nothing",
    ]
    assert table.num_rows == answer["holdout"]["rows"]
    taken = [row[f"payoff_{row['action']}"] for row in table.to_pylist()]
    assert sum(taken) / len(taken) * 60000 == pytest.approx(answer["per_year"]["model"]["mean"], rel=1e-9)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("charter.toml", "0.3 * lifetime_value - 5", "lifetime_value / (tenure - tenure)", "division by zero"),
        ("charter.toml", "offer.stays = -5\n", "", "offer.stays"),
        ("charter.toml", 'offer.stays = -5', 'offer.stays = "-5 USD"', "EUR"),
        ("charter.toml", 'on = "customer_id"', 'on = "customer_idd"', "customer_id"),
        ("payoff.toml", "customers.csv", "custmers.csv", "customers.csv"),
        ("payoff.toml", "path =", "pth =", "path"),
        ("pipeline.py", "train: pd.DataFrame", "trian: pd.DataFrame", "train"),
        ("sql/examples.sql", "tenure, calls", "tenur, calls", "tenur"),
        ("sql/examples.sql", "from customers", "from customers where tenure < 0", "no rows"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_a_way_out(project: Path, file: str, old: str, new: str, words: str) -> None:
    change(project / file, old, new)
    done = subprocess.run([PAYOFF, "run"], cwd=project, capture_output=True, text=True, timeout=240, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert words in said
    assert "Try:" in said
    assert re.search(r"PO-[A-Z]\d{3}", said)
    assert "bug in Payoff" not in said
