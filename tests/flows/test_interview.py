"""From questions to a charter, and from there to what a model could be worth."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PAYOFF = str(Path(sys.executable).with_name("payoff"))
RULE = "case when calls > 3 then 'offer' else 'nothing' end"
ANSWERS = [
    "Keep more subscribers: bring churn from 12 % to 10 % by June 2027.", "Head of \"Retention\"", "Who gets an offer this month?",
    "many", "60,000", "no-such-file.csv", "past decisions.csv", "custommer", "customer", "left", "yes", "", "cancels within 30 days", "", "EUR",
    "offer", "offer, nothing", "0.3 * valu - 5", "0.3 * (", "5 USD", "0.3 * value - 5", "-5 EUR", "", "0", "call everybody",
    "case when calls > 3 then 'ofer' else 'nothing' end", RULE, "offer to whoever called more than 3 times", "5000", "2000", "1000",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [f"{n},{n % 7},{100 + n % 50}.5,{'true' if n % 7 > 4 and n % 3 else 'false'}" for n in range(3000)]
    (tmp_path / "past decisions.csv").write_text("customer,calls,value,left\n" + "\n".join(rows) + "\n")
    return tmp_path


def init(folder: Path, answers: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PAYOFF, "init", "new", "--interview", *words], input="".join(f"{line}\n" for line in answers), cwd=folder,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_answers_become_a_charter_that_can_be_asked(folder: Path) -> None:
    done = init(folder, ANSWERS)
    assert done.returncode == 0, done.stderr
    for wrong in ("A whole number is needed", "no file no-such-file.csv", "nearest: customer", "At least two different actions", "left has no value yes; one of", "no column valu;",
                  "That is no formula", "Money is counted in EUR, not in USD", "one of offer, nothing, not ofer"):
        assert wrong in done.stderr
    charter = tomllib.loads((folder / "new/charter.toml").read_text())
    assert charter["objective"]["owner"] == 'Head of "Retention"'
    assert charter["payoff"]["offer"] == {"left": "0.3 * value - 5", "otherwise": "-5 EUR"}
    assert charter["common_solutions"]["today"]["sql"] == RULE
    assert (charter["decision"]["per_year"], charter["costs"]["run_per_year"]) == (60000, 2000)
    checked = subprocess.run([PAYOFF, "check", "--json"], cwd=folder / "new", capture_output=True, text=True, check=True)
    assert [each["severity"] for each in json.loads(checked.stdout)["findings"] if each["severity"] != "note"] == []
    asked = subprocess.run([PAYOFF, "worth", "--json"], cwd=folder / "new", capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)["prospect"]["ceiling"]["mean"] > 0


def test_an_unfinished_interview_makes_nothing(folder: Path) -> None:
    done = init(folder, ANSWERS[:9], "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["errors"][0]["code"] == "PO-I008"
    assert not (folder / "new").exists()
