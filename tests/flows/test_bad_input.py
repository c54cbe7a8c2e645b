"""Bad input met as a user meets it: a clear error with a way out on every screen, and nothing lost."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Light

HEAD = "customer_id,tenure,calls_to_support,late_payments,lifetime_value,churned,name\n"
PAYOFF = "0.3 * lifetime_value - 5"
# The condition by which the charter's split keeps a customer as holdout, for tests that spoil one side of it.
HELD = "cast('0x' || substr(md5('|' || cast(customer_id as varchar)), 1, 12) as bigint) % 1000000 < 500000"


def line_of(path: Path, text: str) -> int:
    return next(n for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if text in line)


# -- tables


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("9001,10,1\n", ("3 fields",)),
        ("9001,10,1,0,100.0,true,geheim,77\n", ("8 fields",)),
        ('9001,"10,1,0,100.0,true,geheim\n', ("fields",)),
    ],
    ids=["too-short", "too-long", "open-quote"],
)
def test_a_broken_row_of_a_csv(light: Light, row: str, words: tuple[str, ...]) -> None:
    light.append("data/customers.csv", row)
    where = f"payoff.toml:{line_of(light.root / 'payoff.toml', '[sources.customers]')}"
    light.refuses("PO-S010", "data/customers.csv", *words, where=where, expected="7 fields in every row")
    light.mended_passes()


def test_a_value_of_another_type_names_the_row_and_not_the_value(light: Light) -> None:
    light.append("data/customers.csv", "9001,geheim,1,0,100.0,true,geheim9\n")
    where = f"contracts/customers.yaml:{line_of(light.root / 'contracts/customers.yaml', '{ name: tenure')}"
    light.refuses("PO-R020", "tenure", "1 row of 8,001", exit_code=1, where=where)
    screen = light.payoff("show")
    assert "9001" in screen
    assert "integer" in screen
    light.mended_passes()


def test_a_table_without_a_promised_column(light: Light) -> None:
    light.change("data/customers.csv", "customer_id,tenure", "customer_id,tenur")
    where = f"contracts/customers.yaml:{line_of(light.root / 'contracts/customers.yaml', '{ name: tenure')}"
    light.refuses("PO-R020", "no column tenure", "(nearest: tenur)", exit_code=1, where=where)
    found = light.payoff("check", code=2)
    assert "PO-D001" in found
    assert where.partition(":")[2] in found
    light.mended_passes()


def test_an_empty_table(light: Light) -> None:
    light.write("data/customers.csv", HEAD)
    light.refuses("PO-D021", "no rows", "customers has 0 rows", where="sql/examples.sql:1", expected="one decision")
    light.mended_passes()


def test_a_file_that_is_not_there(light: Light) -> None:
    where = f"payoff.toml:{line_of(light.root / 'payoff.toml', '[sources.customers]')}"
    light.change("payoff.toml", "customers.csv", "custmers.csv")
    light.refuses(
        "PO-S001", "data/custmers.csv", where=where, expected="nearest there is customers.csv", recorded=False
    )
    light.mended_passes()


def test_an_empty_file(light: Light) -> None:
    light.write("data/customers.csv", "")
    light.refuses("PO-S010", "data/customers.csv", "empty", expected="a header")
    light.mended_passes()


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("not churned", ("of the holdout are stays", "of train are stays")),
        ("churned", ("of the holdout are churned", "of train are churned")),
        (f"not churned or not {HELD}", ("all", "rows of the holdout are stays")),
        (f"churned or {HELD}", ("all", "rows of train are churned")),
    ],
    ids=["nobody-anywhere", "everybody-anywhere", "nobody-in-the-holdout", "everybody-in-train"],
)
def test_an_outcome_of_one_class(light: Light, where: str, words: tuple[str, ...]) -> None:
    light.change("sql/examples.sql", "from customers", f"from customers where {where}")
    error = light.refuses("PO-D021", "is the same in", *words, expected="two different outcomes")
    assert ("train" in error["what"]) == ("train" in " ".join(words))
    assert any(word.replace(",", "").isdigit() for word in error["what"].split()), "it says how many rows"
    light.mended_passes()


def test_a_holdout_too_small_for_the_confidence(light: Light) -> None:
    lines = (light.root / "data/customers.csv").read_text().splitlines(keepends=True)
    light.write("data/customers.csv", "".join(lines[:121]))
    answer = light.run(code=1)
    verdict = next(each for each in answer["verdicts"] if each["gate"] == "holdout_size")
    assert not verdict["passed"]
    needed = int(verdict["numbers"]["needed"])
    assert answer["holdout"]["rows"] < needed
    assert f"{needed:,} are needed at 95 % confidence" in verdict["reason"]
    assert f"{needed:,} are needed" in " ".join(light.payoff("show").split())
    assert light.runs()[0]["status"] == "refused"
    light.mended_passes()


# -- predictions

MODEL = """\
import pyarrow as pa

from payoff import step


class Odd:
    classes_ = [False, True]

    def predict_proba(self, rows):
        return {body}


@step
def model(train: pa.Table):
    return Odd()
"""


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("[[float('nan'), 1.0]] * len(rows)", "PO-D051", ("NaN or infinite", "4,039 rows")),
        ("[[float('inf'), 0.0]] + [[0.5, 0.5]] * (len(rows) - 1)", "PO-D051", ("NaN or infinite", "1 row ")),
        ("[[0.5, 0.5]] * 3", "PO-D050", ("predicted 3 rows for 4,039",)),
        ("[[0.5, 0.5]] * (len(rows) + 1)", "PO-D050", ("predicted 4,040 rows for 4,039",)),
        ("[[1.25, -0.25]] + [[0.5, 0.5]] * (len(rows) - 1)", "PO-D052", ("1 value outside 0 to 1",)),
        ("[[0.5, 0.4]] * len(rows)", "PO-D053", ("do not add up to 1", "4,039 rows")),
    ],
    ids=["nan", "infinite", "too-few-rows", "too-many-rows", "outside-0-1", "not-adding-up"],
)
def test_predictions_that_cannot_be_used(light: Light, body: str, code: str, words: tuple[str, ...]) -> None:
    light.write("pipeline.py", MODEL.format(body=body))
    light.refuses(code, "the model of step model", *words, where="pipeline.py:14")
    light.mended_passes()


# -- money


@pytest.mark.parametrize(
    ("formula", "code", "words", "expected"),
    [
        ("0.3 * lifetimevalue - 5", "PO-D036", ("offer.churned", "column lifetimevalue"), "(nearest: lifetime_value)"),
        ("lifetime_value / calls_to_support", "PO-D031", ("1,802 rows of 4,039", "division by zero", "customer_id 4"), "amount"),
        ("0.3 * lifetime_value - 5 EUR", "PO-C005", ("offer.churned", "gives itself the name 'EUR'"), "one SQL expression"),
    ],
    ids=["unknown-column", "division-by-zero", "no-expression"],
)  # fmt: skip
def test_a_payoff_that_is_no_amount(
    light: Light, formula: str, code: str, words: tuple[str, ...], expected: str
) -> None:
    where = f"charter.toml:{line_of(light.root / 'charter.toml', PAYOFF)}"
    light.change("charter.toml", PAYOFF, formula)
    light.refuses(code, *words, where=where, expected=expected, recorded=code != "PO-C005")
    light.mended_passes()


def test_a_payoff_in_another_currency(light: Light) -> None:
    where = f"charter.toml:{line_of(light.root / 'charter.toml', PAYOFF)}"
    light.change("contracts/customers.yaml", "currency, value: EUR", "currency, value: USD")
    light.refuses("PO-D039", "lifetime_value in USD", "EUR", "another currency", where=where, expected="amounts in EUR")
    assert "PO-D039" in light.payoff("check", code=2)
    assert light.run(code=2)["status"] == "failed", "the second time too"
    light.mended_passes()


def test_an_unknown_column_of_a_payoff_is_found_before_training(light: Light) -> None:
    light.change("charter.toml", PAYOFF, "0.3 * lifetimevalue - 5")
    light.change("pipeline.py", "slope: float = 0.35", "slope: float = 0.36")
    answer = light.run(code=2)
    assert {step["name"]: step["state"] for step in answer["steps"]}["model"] == "skipped"
    assert "PO-D036" in light.payoff("check", code=2)


# -- the repository


def test_a_lock_that_does_not_match(light: Light) -> None:
    light.change("pyproject.toml", '"pyarrow>=18"', '"pyarrow>=18",\n    "packaging>=20"')
    where = f"pyproject.toml:{line_of(light.root / 'pyproject.toml', 'packaging')}"
    light.refuses("PO-P023", "uv.lock does not match", "packaging", where=where, recorded=False)
    light.mended_passes()


def test_a_repository_without_commits(light: Light) -> None:
    shutil.move(light.root / ".git", light.root.parent / "git")
    subprocess.run(["git", "init", "--quiet"], cwd=light.root, check=True)
    error = light.refuses("PO-P032", "no commit", recorded=False)
    assert error["try"] == "git add -A && git commit -m start"
    who = ["-c", "user.name=a", "-c", "user.email=a@localhost"]
    subprocess.run("git add -A".split(), cwd=light.root, check=True)
    subprocess.run(["git", *who, "commit", "--quiet", "-m", "start"], cwd=light.root, check=True)
    light.mended_passes()


def test_a_charter_that_cannot_be_read_leaves_the_runs_readable(light: Light) -> None:
    light.append("charter.toml", "[[[\n")
    light.refuses("PO-P005", "charter.toml", recorded=False)
    light.mended_passes()


# -- steps


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ('    return train.group_by("calls_to_support").aggregate([("churned", "count")])', "    return 7", "PO-R005", ("step rates",)),
        ("    return Fitted(slope)", "    return (each for each in range(3))", "PO-R005", ("step model", "generator")),
        ("    return Fitted(slope)", "    return None", "PO-R009", ("step model",)),
        ("    return Fitted(slope)", "    return 7", "PO-R009", ("step model", "int")),
    ],
    ids=["no-table", "no-pickle", "nothing", "no-model"],
)  # fmt: skip
def test_a_step_that_returns_the_wrong_type(
    light: Light, old: str, new: str, code: str, words: tuple[str, ...]
) -> None:
    light.change("pipeline.py", old, new)
    name = words[0].removeprefix("step ")
    line = line_of(light.root / "pipeline.py", f"def {name}(")
    light.refuses(code, *words, where=f"pipeline.py:{line}")
    light.mended_passes()


# -- the engine


def test_an_unknown_engine_is_answered_with_all_kinds_and_what_to_type(light: Light) -> None:
    light.append("payoff.toml", '\n[engine]\nkind = "sparc"\n')
    found = " ".join(light.payoff("check", code=2).split())
    for words in ("PO-W002", "'sparc' is not a known kind of engines", "one of duckdb, spark (nearest: spark)", "payoff check"):
        assert words in found, found
    light.refuses("PO-W002", "'sparc'", expected="one of duckdb, spark (nearest: spark)")
