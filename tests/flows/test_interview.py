"""From questions to a charter, and from there to what a model could be worth."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
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


def test_numbers_as_people_write_them_and_codes_that_look_like_numbers(folder: Path) -> None:
    codes = pa.table({"customer": range(600), "value": range(600), "left": ["02" if n % 3 else "01" for n in range(600)], "empty": pa.nulls(600)})
    pq.write_table(codes, folder / "codes.parquet")
    answers = [
        *ANSWERS[:3], "\N{SUPERSCRIPT TWO}", "0060 000", "codes.parquet", "customer", "empty", "left", "01", *ANSWERS[12:15],
        "quantity, nothing", "offer, nothing", "case when left = '01' then 9 else 0 end", "007", "-05.50", "+1", "0",
        "case when left = '01' then 'offer' else 'nothing' end", "", "05 000", "2,000", "01000",
    ]  # fmt: skip
    done = init(folder, answers)
    assert done.returncode == 0, done.stderr
    for wrong in ("A whole number is needed", "empty has no values", "quantity means something else", "left is not known yet when it is decided"):
        assert wrong in done.stderr
    assert done.stderr.count("left is not known yet") == 2, "in a payoff and in a rule"
    charter = tomllib.loads((folder / "new/charter.toml").read_text())
    assert charter["decision"]["outcome"]["positive"] == "01"
    assert charter["decision"]["per_year"] == 60000
    assert charter["payoff"]["offer"] == {"left": 7, "otherwise": -5.5}
    assert charter["payoff"]["nothing"] == {"left": 1, "otherwise": 0}
    assert charter["costs"] == {"build": 5000, "run_per_year": 2000}
    assert charter["accept"]["min_gain_per_year"] == 1000
    subprocess.run([PAYOFF, "check"], cwd=folder / "new", capture_output=True, check=True)


def test_a_place_that_cannot_be_used_is_told_before_the_first_question(folder: Path) -> None:
    (folder / "new").mkdir()
    (folder / "new" / "here.txt").write_text("mine")
    done = init(folder, ANSWERS)
    assert done.returncode == 2
    assert "PO-I003" in done.stderr
    assert "What does the business want" not in done.stderr
    done = init(folder, ANSWERS, "--template", "bakery")
    assert done.returncode == 2
    assert "PO-U003: --interview and --template do not go together" in done.stderr
    under = subprocess.run([PAYOFF, "init", "new/here.txt/project"], cwd=folder, capture_output=True, text=True, check=False)
    assert under.returncode == 2, under.stderr
    assert "PO-I009: the folder new/here.txt/project cannot be made" in under.stderr


def test_after_ctrl_c_nobody_answers_twice(folder: Path) -> None:
    words = [PAYOFF, "init", "new", "--interview"]
    with subprocess.Popen(words, cwd=folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asking:
        assert asking.stdin is not None
        assert asking.stderr is not None
        asking.stdin.write("".join(f"{line}\n" for line in ANSWERS[:8]))
        asking.stdin.flush()
        while "nearest: customer" not in asking.stderr.readline():
            pass
        asking.send_signal(signal.SIGINT)
        said = asking.stderr.read()
    assert asking.returncode == 130
    assert "stopped; no project was made" in said
    assert "payoff run" not in said
    command = said.split("to go on: ")[1].splitlines()[0]
    assert not (folder / "new").exists()
    kept = (folder / "new.answers").read_text().splitlines()
    assert kept == [ANSWERS[n] for n in (0, 1, 2, 4, 6)], "the right ones alone"
    command = command.replace("payoff", PAYOFF)
    rest = "".join(f"{line}\n" for line in ANSWERS[8:])
    done = subprocess.run(["sh", "-c", command], input=rest, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert tomllib.loads((folder / "new/charter.toml").read_text())["objective"]["statement"] == ANSWERS[0]
