"""charter.toml: cells, common solutions, split; each mistake is an error with its line."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payoff.project import charter, charter_rules
from payoff.project.aloud import wording

if TYPE_CHECKING:
    from conftest import Written


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "words"),
    [
        ("nothing.stays = 0\n", "", "PO-C002", 14, "nothing.stays"),
        ('nothing.churned = "-lifetime_value"\nnothing.stays = 0\n', "", "PO-C001", 10, "two actions"),
        ("nothing.stays = 0", 'nothing.stays = "5 USD"', "PO-C004", 15, "EUR"),
        ("nothing.stays = 0", 'nothing.stays = "$5"', "PO-C004", 15, "EUR"),
        ("nothing.stays = 0", 'nothing.stays = "lifetime_value EUR"', "PO-C005", 15, "SQL expression"),
        ("nothing.stays = 0", 'nothing.stays = "1 +"', "PO-C005", 15, "SQL expression"),
        ("nothing.stays = 0", 'nothing.stays = "(select 1)"', "PO-C005", 15, "SQL expression"),
        ("nothing.stays = 0", 'nothing.stays = "sum(x)"', "PO-C005", 15, "SQL expression"),
        ("nothing.stays = 0", 'nothing.stays = "x; drop table y"', "PO-C005", 15, "SQL expression"),
        ("nothing.stays = 0", "nothing.stays = inf", "PO-P009", 15, "finite"),
        ('means = "cancels within 30 days"', 'means = "x", name = "cancels"', "PO-C003", 10, "cancels"),
        ("stays = 0", "stays = 0\noffer.moves = 1\nnothing.moves = 2", "PO-C003", 10, "exactly two"),
        ('{ action = "offer" }', '{ action = "ofer" }', "PO-C007", 18, "nearest: offer"),
        ("then 'offer'", "then 'offr'", "PO-C007", 19, "nearest: offer"),
        ('{ action = "offer" }', '{ action = "offer", sql = "x" }', "PO-C006", 18, "one of the two"),
        ('{ action = "offer" }', "{ says = 'x' }", "PO-C006", 18, "one of the two"),
        ("everyone =", "perfect =", "PO-C012", 18, "another name"),
        ("holdout = 0.25\n", "", "PO-C008", 20, "holdout"),
        ("holdout = 0.25", "holdout = 0.25\nfrom = 2026-01-01", "PO-C008", 24, "by, holdout"),
        ('by = "hash"', 'by = "time"', "PO-C008", 20, "from"),
        ('examples = "examples"', 'examples = "exampels"', "PO-C020", 6, "nearest: examples"),
        ('step = "model"', 'step = "modl"', "PO-C021", 25, "nearest: model"),
        ('step = "model"', 'step = "usage_clean"', "PO-C022", 1, "object that predicts"),
    ],
)
def test_a_mistake(written: Written, old: str, new: str, code: str, line: int, words: str) -> None:
    written.change("charter.toml", old, new)
    errors = [f for f in written.inspect()[1] if f.severity == "error"]
    assert code in [f.code for f in errors]
    finding = next(f for f in errors if f.code == code)
    assert finding.where is not None
    assert finding.where.line == line
    assert words in finding.expected
    assert finding.try_


QUANTITY = """[payoff]
currency = "EUR"
quantity = "3.2 * least(action, outcome) - 1.1 * action"
[common_solutions]
sixty = { action = 60 }
usual = { sql = "usual" }
"""


def of_a_quantity(written: Written) -> None:
    text = (written.root / "charter.toml").read_text()
    start, end = text.index("[payoff]"), text.index("[split]")
    written.write("charter.toml", text[:start] + QUANTITY + text[end:])
    written.change("charter.toml", "positive = true, ", "")
    written.change("charter.toml", "per_year", 'action = { least = 0, most = 200, step = 2.5, unit = "loaves" }\nper_year')


def test_a_quantity(written: Written) -> None:
    of_a_quantity(written)
    found = written.project().charter
    assert found.quantity is not None
    assert found.quantity.permitted[:3] == (Decimal(0), Decimal("2.5"), Decimal(5))
    assert (found.actions[0], found.actions[1], found.actions[-1], len(found.actions)) == ("0", "2.5", "200", 81)
    assert found.outcomes == ()
    assert found.common_solutions[0].action == "60"
    assert found.gives == "forecast"
    assert "from 0 to 200 loaves in steps of 2.5" in wording.paragraph(found)


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ('quantity = "3.2 * least(action, outcome) - 1.1 * action"\n', "", "PO-C015", "both"),
        ('action = { least = 0, most = 200, step = 2.5, unit = "loaves" }\n', "", "PO-C015", "both"),
        ("most = 200", "most = 20000", "PO-C015", "1,000"),
        ("most = 200", "most = 0", "PO-C015", "2 to"),
        ("step = 2.5", "step = 0", "PO-P009", "greater than 0"),
        ('means = "cancels', 'positive = 3, means = "cancels', "PO-C015", "named actions"),
        ("[split]", '[capacity]\naction = "x"\nat_most = 5\nper = "week"\n[split]', "PO-C015", "named actions"),
        ('currency = "EUR"', 'currency = "EUR"\noffer.yes = 5', "PO-C015", "named actions"),
        ("least(action, outcome) - 1.1 * action", "action", "PO-C015", "what was needed"),
        ("1.1 * action", "1.1 * (", "PO-C005", "SQL expression"),
        ("action = 60", "action = 61", "PO-C007", "in steps of 2.5"),
        ("action = 60", 'action = "sixty"', "PO-C007", "in steps of 2.5"),
        ('step = "model"', 'step = "model"\ngives = "a guess"', "PO-P009", "forecast"),
    ],
)
def test_a_mistake_about_a_quantity(written: Written, old: str, new: str, code: str, words: str) -> None:
    of_a_quantity(written)
    written.change("charter.toml", old, new)
    errors = [f for f in written.inspect()[1] if f.severity == "error"]
    assert code in [f.code for f in errors], errors
    finding = next(f for f in errors if f.code == code)
    assert words in finding.expected, finding
    assert finding.where is not None
    assert finding.where.line > 1


def test_what_is_for_quantities_only_is_not_for_named_actions(written: Written) -> None:
    written.change("charter.toml", "positive = true, ", "")
    written.change("charter.toml", 'step = "model"', 'step = "model"\ngives = "action"')
    codes = [f.code for f in written.inspect()[1] if f.severity == "error"]
    assert sorted(codes) == ["PO-C015", "PO-P007"]


def test_an_amount_with_its_currency(written: Written) -> None:
    written.change("charter.toml", "nothing.stays = 0", 'nothing.stays = "-1,250.50 EUR"')
    assert written.project().charter.cell("nothing", "stays").amount == Decimal("-1250.50")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9), st.booleans())
def test_amounts_are_exact(value: Decimal, behind: bool) -> None:
    for spelled in (f"{value}", f"{value:,}"):
        text = f"EUR {spelled}" if behind else f"{spelled} EUR"
        assert charter_rules.amount(text) == (value, "EUR")


def test_numbers_are_exact(written: Written) -> None:
    written.change("charter.toml", "nothing.stays = 0", "nothing.stays = 0.1")
    cell = written.project().charter.cell("nothing", "stays")
    assert (cell.amount, cell.line) == (Decimal("0.1"), 15)
    assert written.project().charter.cell("nothing", "stays") == cell, "the same from the cache"


def test_a_split_by_time(written: Written) -> None:
    written.change(
        "charter.toml", 'by = "hash"\non = "customer_id"\nholdout = 0.25', 'by = "time"\non = "day"\nfrom = 2026-06-01'
    )
    split = written.project().charter.split
    assert (split.by, split.on, split.from_, split.holdout) == ("time", "day", "2026-06-01", None)


def test_the_digest_is_of_what_is_said(written: Written) -> None:
    before = written.project().charter
    written.change("charter.toml", "[split]", "# a comment\n\n[split]")
    written.change("charter.toml", "12000.10", "12_000.10")
    after = written.project().charter
    assert after.digest == before.digest
    assert after.cells == before.cells
    written.change("charter.toml", "12_000.10", "12000.11")
    assert written.project().charter.digest != before.digest


def test_three_actions(written: Written) -> None:
    written.change("charter.toml", "nothing.stays = 0", "nothing.stays = 0\ncall.churned = 1\ncall.stays = 2")
    assert written.project().charter.actions == ("offer", "nothing", "call")
