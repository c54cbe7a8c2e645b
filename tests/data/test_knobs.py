"""The numbers of a charter's payoffs, found and moved."""

from __future__ import annotations

from decimal import Decimal

import duckdb
import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from payoff.data import knobs
from payoff.records.charter import Cell, Charter
from payoff.testing.samples import sample_charter

ROW = "(select 1000.0::double as balance, 3 as calls, 'gold' as tier)"


def charter(*cells: tuple[str, str, str]) -> Charter:
    made = []
    for number, (action, outcome, text) in enumerate(cells):
        plain = text.lstrip("-").replace(".", "").isdigit()
        fixed = {"amount": Decimal(text)} if plain else {"sql": text}
        made.append(Cell(action=action, outcome=outcome, line=number + 1, **fixed))
    return msgspec.structs.replace(sample_charter(), cells=tuple(made))


def answer(sql: str) -> float:
    return float(duckdb.sql(f"select cast({sql} as double) from {ROW}").fetchall()[0][0])


def test_a_number_that_an_action_always_costs_is_one_assumption() -> None:
    found = knobs.knobs(
        charter(("call", "yes", "0.25 * balance - 1"), ("call", "no", "-1"), ("none", "yes", "0"), ("none", "no", "0"))
    )
    assert [(each.name, each.value, each.line) for each in found] == [("call.yes: 0.25", 0.25, 1), ("call: 1", 1.0, 1)]
    assert found[1].places == (("call", "yes", 1), ("call", "no", 0))


@pytest.mark.parametrize(
    ("sql", "numbers"),
    [
        ("2 * balance", [2.0]),
        ("case when calls > 3 then 7 else 9 end", [3.0, 7.0, 9.0]),
        ("case when calls between 2 and 4 and not balance < 600 then 7 end", [2.0, 4.0, 600.0, 7.0]),
        ("case calls when 3 then 7 else 9 end", [7.0, 9.0]),  # what is compared with is no amount
        ("case when calls = 3 or calls in (4, 5) then 7 else 9 end", [7.0, 9.0]),
        ("round(balance * 0.5, 2)", [0.5]),  # a number of digits is none either
        ("power(balance, 0.5) + ln(3)", [0.5, 3.0]),
        ("substr(tier, 2)", []),  # what other functions do with their arguments is not known
        ("coalesce(balance / nullif(calls, 0), 4)", [4.0]),
        ("case when tier = 'gold' then 5 else 6 end - cast(3 as double)", [5.0, 6.0, 3.0]),
        ("-(balance - 8)", [8.0]),
        ("balance", []),
    ],
)
def test_what_counts_as_a_number_of_the_payoffs(sql: str, numbers: list[float]) -> None:
    assert [each.value for each in knobs.knobs(charter(("call", "yes", sql), ("none", "yes", "0")))] == numbers


_AMOUNT = st.integers(1, 90_000).map(lambda cents: cents / 100)


@given(st.floats(0.0, 10.0), _AMOUNT, _AMOUNT)
def test_a_moved_number_is_the_number_times_the_factor(factor: float, first: float, second: float) -> None:
    why = charter(("call", "yes", f"{first!r} * balance - {second!r}"), ("none", "yes", "0"))
    assume(first != second)
    one, other = knobs.knobs(why)
    assert answer(knobs.moved(why, one, factor)["call", "yes"]) == pytest.approx(first * factor * 1000 - second)
    assert answer(knobs.moved(why, other, factor)["call", "yes"]) == pytest.approx(first * 1000 - second * factor)


def test_the_same_number_twice_in_a_cell_moves_together() -> None:
    why = charter(("call", "yes", "5 * calls - 5"), ("none", "yes", "0"))
    (five,) = knobs.knobs(why)
    assert answer(knobs.moved(why, five, 2.0)["call", "yes"]) == pytest.approx(10 * 3 - 10)


def test_the_bound_of_a_condition_is_an_assumption_of_its_own() -> None:
    why = charter(("call", "yes", "case when balance > 700 then 7 else -700 end"), ("none", "yes", "0"))
    bound, seven, fine = knobs.knobs(why)
    assert (bound.name, bound.value, fine.name) == ("call: 700 (a bound)", 700.0, "call: 700")
    assert [answer(knobs.moved(why, bound, factor)["call", "yes"]) for factor in (1.4, 1.5)] == [7.0, -700.0]
    assert answer(knobs.moved(why, fine, 0.5)["call", "yes"]) == 7.0
    assert answer(knobs.moved(why, seven, 2.0)["call", "yes"]) == 14.0


def test_a_fixed_amount_moves_too() -> None:
    why = charter(("call", "yes", "-12.50"), ("call", "no", "1"), ("none", "yes", "0"), ("none", "no", "0"))
    one, _ = knobs.knobs(why)
    assert (one.name, one.value) == ("call.yes: 12.5", 12.5)
    assert answer(knobs.moved(why, one, 0.5)["call", "yes"]) == pytest.approx(-6.25)
