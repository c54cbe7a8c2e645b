"""Rules about tables, measured by the real engine."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payoff.adapters.engines.duckdb import Options, connect
from payoff.base.errors import InvalidInput, UserError
from payoff.data import checks, expressions, known, predictions, split, usage
from payoff.execute.context import fields
from payoff.records.artifact import Artifact
from payoff.records.charter import (
    Accept, Cell, Charter, CommonSolution, Costs, Decision, Objective, OutcomeSpec, SplitSpec, Stop,
)  # fmt: skip
from payoff.records.contract import Column, Contract, TableCheck
from payoff.records.project import Step

NOW = "2026-11-23T12:00:00Z"


class Bench:
    """The engine over tables of a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = connect(folder, Options())
        self.files: dict[str, Path] = {}
        self.schemas: dict[str, pa.Schema] = {}

    def add(self, name: str, table: pa.Table) -> None:
        self.files[name] = self.folder / f"{name}.arrow"
        self.files[name].unlink(missing_ok=True)
        self.engine.write(table.to_reader(), self.files[name])
        self.schemas[name] = table.schema

    def query(self, sql: str) -> pa.Table:
        return self.engine.query(sql, self.files)

    def check(self, contract: Contract) -> dict[str, Any]:
        table = contract.table
        plan = checks.compile_contract(
            contract,
            fields(self.schemas[table]),
            promised_from=self.schemas[table].names,
            foreign={name: fields(schema) for name, schema in self.schemas.items() if name != table},
            now=NOW,
        )
        return {result.check: result for result in checks.run(plan, self.query)}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def contract(*columns: Column, table: str = "t", **more: Any) -> Contract:
    return Contract(table=table, file="contracts/t.yaml", version="1", columns=columns, **more)


ROWS = pa.table(
    {
        "id": [1, 2, 3, 4, 5],
        "age": [20, 17, None, 40, 130],
        "job": ["a", "b", "", None, "zz"],
        "mail": ["x@y.z", "no", "a@b.c", None, "q@r.s"],
    }
)


@pytest.mark.parametrize(
    ("column", "check", "failed", "sample"),
    [
        (Column(name="age", required=True), "age is required", 1, ("3",)),
        (Column(name="age", minimum=18), "age is at least 18", 1, ("2",)),
        (Column(name="age", maximum=120), "age is at most 120", 1, ("5",)),
        (Column(name="job", enum=("a", "b")), "job is one of", 2, ("3", "5")),
        (Column(name="mail", pattern=".+@.+"), "mail has the pattern", 1, ("2",)),
        (Column(name="job", max_length=1), "job is at most 1 long", 1, ("5",)),
        (Column(name="job", min_length=1), "job is at least 1 long", 1, ("3",)),
    ],
)
def test_each_promise_finds_its_rows(bench: Bench, column: Column, check: str, failed: int, sample: tuple[str, ...]) -> None:
    bench.add("t", ROWS)
    result = bench.check(contract(Column(name="id", primary_key=True), column))[check]
    assert (result.passed, result.failed, result.rows) == (False, failed, 5)
    assert result.sample == sample
    bench.add("t", ROWS.slice(0, 1))
    assert bench.check(contract(Column(name="id", primary_key=True), column))[check].passed


def test_keys_foreign_keys_and_types(bench: Bench) -> None:
    bench.add("t", pa.table({"id": [1, 1, 2], "other": [7, 8, None], "text": ["1", "2", "3"]}))
    bench.add("u", pa.table({"id": [7, 9]}))
    found = bench.check(
        contract(
            Column(name="id", primary_key=True),
            Column(name="other", references=("u", "id")),
            Column(name="text", type="integer"),
            Column(name="gone"),
        )
    )
    assert {name: result.failed for name, result in found.items() if not result.passed} == {
        "id is unique": 1, "other is in u.id": 1, "text has the type integer": 1, "gone exists": 1,
    }  # fmt: skip


def test_promises_about_the_whole_table(bench: Bench) -> None:
    bench.add("t", pa.table({"day": pa.array(["2026-11-20", "2026-11-22"]).cast(pa.date32()), "n": [1, 2]}))
    found = bench.check(
        contract(
            checks=(
                TableCheck(kind="row-count", name="rows", minimum=3),
                TableCheck(kind="freshness", name="fresh", column="day", maximum=86400),
                TableCheck(kind="freshness", name="fresh enough", column="day", maximum=200000),
                TableCheck(kind="unique", name="pairs", columns=("day", "n")),
                TableCheck(kind="sql", name="sum", sql="select sum(n) from {table}", minimum=3, maximum=3),
                TableCheck(kind="sql", name="warned", sql="select 1 from {table} limit 1", maximum=0, severity="warning"),
            )
        )
    )
    assert {name: result.passed for name, result in found.items()} == {
        "rows": False, "fresh": False, "fresh enough": True, "pairs": True, "sum": True, "warned": False,
    }  # fmt: skip
    assert found["warned"].severity == "warning"
    assert "at least 3" in found["rows"].reason


def test_no_value_of_a_personal_column_is_shown(bench: Bench) -> None:
    bench.add("t", pa.table({"mail": ["secret@x", "secret@x"], "age": [1, 1]}))
    found = bench.check(contract(Column(name="mail", primary_key=True, classification="personal"), Column(name="age", minimum=18)))
    assert "secret" not in repr(found)
    assert found["age is at least 18"].sample == ("row 1", "row 2")


# -- which columns a query uses

TABLES = {"t": ("a", "b", "c"), "s": ("a", "d", "e")}
QUERIES = [
    "select a from t where b > 1",
    "select t.a, d from t join s using (a)",
    "select x.c, (select max(e) from s where s.a = x.a) as m from t as x",
    "with w as (select a, b from t) select a from w order by b",
    "select count(*) as n from t",
    "select a, row_number() over (partition by b order by c) as r from t",
    "select * from t",
    "select * exclude (b) from t",
    "select a from t union all select d from s",
    "select a, b from t union all by name select a, e as b from s",
    "select case when b > 1 then a else c end as z from t group by all",
    "select t.a from t where exists (select 1 from s where s.d = t.c)",
    "select T.A from T",
]


@pytest.mark.parametrize("sql", QUERIES)
def test_a_query_over_the_used_columns_alone_gives_the_same(bench: Bench, sql: str) -> None:
    for name, columns in TABLES.items():
        bench.add(name, pa.table({c: [(ord(c) * 7 + n * 3) % 5 for n in range(12)] for c in columns}))
    whole = bench.query(sql)
    used = usage.used_columns(sql, bench.schemas)
    for name, columns in TABLES.items():
        bench.add(name, pa.table({c: [(ord(c) * 7 + n * 3) % 5 for n in range(12)] for c in columns}).select(used[name]))
    order = [(column, "ascending") for column in whole.column_names]
    assert bench.query(sql).sort_by(order).equals(whole.sort_by(order))


def test_unused_columns_are_not_read() -> None:
    schemas = {name: pa.schema([(c, pa.int64()) for c in columns]) for name, columns in TABLES.items()}
    assert usage.used_columns("select t.a, d from t join s using (a) where b = 1", schemas) == {"t": ["a", "b"], "s": ["a", "d"]}


# -- split


def charter(**changes: Any) -> Charter:
    made = Charter(
        objective=Objective("Earn more", "Owner"),
        decision=Decision(
            question="Whom?", examples="examples", id="id", per_year=1000,
            outcome=OutcomeSpec(column="churned", positive=True, means="leaves", name="churned"),
        ),
        currency="EUR",
        cells=(
            Cell(action="offer", outcome="churned", sql="0.3 * value - 1", line=3),
            Cell(action="offer", outcome="stays", amount=Decimal(-1)),
            Cell(action="nothing", outcome="churned", amount=Decimal(0)),
            Cell(action="nothing", outcome="stays", amount=Decimal(0)),
        ),
        common_solutions=(CommonSolution(name="rule", sql="case when value > 5 then 'offer' else 'nothing' end", line=9),),
        split=SplitSpec(by="hash", on="id", holdout=0.3), model_step="model",
        costs=Costs(), accept=Accept(), stop=Stop(), file="charter.toml", digest="d",
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def examples(n: int = 2000) -> pa.Table:
    return pa.table(
        {
            "id": range(n), "value": [float(i % 20) for i in range(n)], "churned": [i % 3 == 0 for i in range(n)],
            "house": [i // 4 for i in range(n)], "day": pa.array([18000 + i for i in range(n)], pa.int32()).cast(pa.date32()),
        }
    )  # fmt: skip


def cut(bench: Bench, made: Charter, table: pa.Table) -> tuple[set[int], set[int]]:
    bench.add("examples", table)
    queries = split.compile_split(made, table.column_names, table.column_names)
    split.verify(queries, bench.query)
    sides = (bench.query(sql) for sql in (queries.train, queries.holdout))
    train, holdout = (set(side["id"].to_pylist()) for side in sides)
    assert train | holdout == set(table["id"].to_pylist())
    assert not train & holdout
    return train, holdout


def test_the_split_does_not_depend_on_order_or_on_other_rows(bench: Bench) -> None:
    table = examples()
    _, holdout = cut(bench, charter(), table)
    assert len(holdout) / 2000 == pytest.approx(0.3, abs=0.04)
    _, reversed_holdout = cut(bench, charter(), table.take(list(range(1999, -1, -1))))
    assert reversed_holdout == holdout
    _, fewer = cut(bench, charter(), table.slice(0, 1000))
    assert fewer == {i for i in holdout if i < 1000}
    _, salted = cut(bench, charter(split=SplitSpec(by="hash", on="id", holdout=0.3, salt="x")), table)
    assert salted != holdout


def test_groups_stay_whole_and_time_cuts_at_its_date(bench: Bench) -> None:
    train, holdout = cut(bench, charter(split=SplitSpec(by="group", on="house", holdout=0.3)), examples())
    assert not {i // 4 for i in train} & {i // 4 for i in holdout}
    _, later = cut(bench, charter(split=SplitSpec(by="time", on="day", from_="2022-01-01")), examples())
    assert later == {i for i in range(2000) if 18000 + i >= 18993}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (examples().slice(0, 0), "no rows"),
        (pa.concat_tables([examples(), examples().slice(0, 2)]), "2 rows repeat an id"),
        (examples().set_column(0, "id", pa.array([None, *range(1, 2000)])), "1 row without id"),
        (examples().set_column(2, "churned", pa.array([None] * 3 + [True, False] * 998 + [True])), "3 rows without an outcome"),
        (examples().set_column(2, "churned", pa.array([True] * 2000)), "the same in"),
        (examples().drop_columns(["churned"]), "no column 'churned'"),
    ],
)
def test_examples_that_cannot_be_judged_on_are_refused(bench: Bench, table: pa.Table, words: str) -> None:
    with pytest.raises(UserError, match=words):
        cut(bench, charter(), table)


THIRDS = [i % 3 == 0 for i in range(2000)]


def outcomes(values: Any, positive: Any) -> tuple[Charter, pa.Table]:
    """Examples with such values of the outcome, and a charter that calls one of them positive."""
    outcome = OutcomeSpec(column="churned", positive=positive, means="m", name="churned")
    made = charter(decision=msgspec.structs.replace(charter().decision, outcome=outcome))
    return made, examples().set_column(2, "churned", values)


@pytest.mark.parametrize(
    ("values", "positive"),
    [
        (pa.array(THIRDS), True),
        (pa.array(THIRDS), 1),
        (pa.array(THIRDS).cast(pa.int8()), True),
        (pa.array(THIRDS).cast(pa.int64()).cast(pa.float64()), True),
        (pa.array(THIRDS).cast(pa.int64()).cast(pa.float64()), 1),
        (pa.array([Decimal(int(each)) for each in THIRDS], pa.decimal128(9, 2)), 1),
        (pa.array([not each for each in THIRDS]), False),
        (pa.array(["Yes" if each else "no" for each in THIRDS]), "yes"),
        (pa.array(["true" if each else "false" for each in THIRDS]), True),
    ],
    ids=str,
)
def test_an_outcome_is_found_whatever_its_type(bench: Bench, values: Any, positive: Any) -> None:
    made, table = outcomes(values, positive)
    cut(bench, made, table)
    bench.add("holdout", table)
    found = bench.query(expressions.payoff_query(made, table.column_names))["outcome"].to_pylist()
    assert [each == "churned" for each in found] == THIRDS


@pytest.mark.parametrize(
    ("values", "positive", "words"),
    [
        (["yes", "no"], "yess", "churned is 'yess' in no row"),
        (["yes", "no"], True, "churned is TRUE in no row"),
        (["yes", "no", "unknown", "no"], "yes", "3 different values, and the charter names two outcomes"),
        (["yes", "no", " ", "no"], "yes", "500 rows without an outcome"),
        ([1.0, 0.0, float("nan"), 0.0], 1, "500 rows without an outcome"),
        (["Yes", "yes"], "yes", "the same in"),
    ],
)
def test_no_outcome_is_taken_for_the_other_one(bench: Bench, values: list[Any], positive: Any, words: str) -> None:
    made, table = outcomes(pa.array(values * (2000 // len(values))), positive)
    with pytest.raises(UserError, match=words):
        cut(bench, made, table)


def test_the_holdout_is_named_by_its_data_and_its_cut() -> None:
    artifact = Artifact(id="x", kind="table", file="", bytes=0)
    name = split.holdout_identity(charter(), artifact)
    assert name == split.holdout_identity(charter(currency="USD"), artifact)
    assert name != split.holdout_identity(charter(split=SplitSpec(by="hash", on="id", holdout=0.2)), artifact)
    assert name != split.holdout_identity(charter(), msgspec.structs.replace(artifact, id="y"))


# -- money


def test_payoffs_of_rows(bench: Bench) -> None:
    bench.add("holdout", pa.table({"id": [1, 2], "value": [10.0, 2.0], "churned": [True, False]}))
    rows = bench.query(expressions.payoff_query(charter(), ["id", "value", "churned"])).to_pylist()
    assert rows[0] == {
        "id": 1, "outcome": "churned", "payoff:offer:churned": 2.0, "payoff:offer:stays": -1.0,
        "payoff:nothing:churned": 0.0, "payoff:nothing:stays": 0.0, "rule:rule": "offer",
    }  # fmt: skip
    assert (rows[1]["outcome"], rows[1]["rule:rule"]) == ("stays", "nothing")


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("0.3 * valu", "PO-D036"),
        ("value +", "PO-D030"),
        ("(select 1)", "PO-D030"),
        ("value; drop table x", "PO-D030"),
        ("sum(value)", "PO-D034"),
        ("random() * value", "PO-D035"),
        ("value * extract(year from current_date)", "PO-D035"),
        ("case when churned then 1 else 0 end", "PO-D037"),
        ("case when Churned then 1 else 0 end", "PO-D037"),
        ("case when columns('chur.*') then 1 else 0 end", "PO-D030"),
        ("value - minutes", "PO-D038"),
        ("value - MINUTES", "PO-D038"),
        ("FEE + 1", "PO-D039"),
        ("fee + 1", "PO-D039"),
    ],
)
def test_expressions_that_are_no_amounts(sql: str, code: str) -> None:
    cells = (Cell(action="offer", outcome="churned", sql=sql, line=7), *charter().cells[1:])
    promised = contract(Column(name="fee", currency="USD"), Column(name="minutes", known="after"))
    found = expressions.check_charter(charter(cells=cells), ["id", "value", "churned", "fee", "minutes"], [promised])
    assert code in {finding.code for finding in found}
    assert all(f.where and f.where.line == 7 and f.try_ for f in found)


def test_a_division_by_zero_names_rows_and_cell(bench: Bench) -> None:
    bench.add("holdout", pa.table({"id": [11, 12, 13], "value": [1.0, 0.0, None], "churned": [True, False, True]}))
    cells = (Cell(action="offer", outcome="churned", sql="1 / value", line=7), *charter().cells[1:])
    made = charter(cells=cells)
    with pytest.raises(InvalidInput) as caught:
        expressions.refuse_unusable(made, bench.query(expressions.payoff_query(made, ["id", "value", "churned"])))
    assert "2 rows" in caught.value.what
    assert "12, 13" in caught.value.what
    assert str(caught.value.where) == "charter.toml:7"


@pytest.mark.parametrize(
    ("sql", "ids"),
    [("small * 2", "11"), ("ln(value)", "12, 13"), ("sqrt(value)", "13"), ("exp(value * 1000)", "11"), ("cast(word as int)", "11"), ("word", "11"),
     ("5 % small", "13"), ("value * 1e308 * 100", "11, 13"), ("interval 1 day", "11, 12, 13")],
)  # fmt: skip
def test_what_cannot_be_computed_names_rows_and_cell(bench: Bench, sql: str, ids: str) -> None:
    small = pa.array([2_000_000_000, 5, 0], pa.int32())
    table = pa.table({"id": [11, 12, 13], "value": [1.0, 0.0, -2.0], "small": small, "word": ["a", "7", "9"], "churned": [True, False, True]})
    bench.add("holdout", table)
    cells = (Cell(action="offer", outcome="churned", sql=sql, line=7), *charter().cells[1:])
    made = charter(cells=cells)
    with pytest.raises(InvalidInput, match="payoff offer.churned is no amount") as caught:
        expressions.refuse_unusable(made, bench.query(expressions.payoff_query(made, table.column_names)))
    assert f"(id {ids})" in caught.value.what
    made = charter(common_solutions=(CommonSolution(name="rule", sql=f"case when {sql} > 3 then 'offer' else 'offer' end", line=9),))
    if "small * 2" in sql:
        with pytest.raises(InvalidInput, match="names none of the actions for 1 row .id 11"):
            expressions.refuse_unusable(made, bench.query(expressions.payoff_query(made, table.column_names)))


@pytest.mark.parametrize("sql", ["case when Churned then 'offer' else 'nothing' end", "case when MINUTES > 3 then 'offer' else 'nothing' end",
                                 "case when columns('chur.*') then 'offer' else 'nothing' end"])  # fmt: skip
def test_a_rule_cannot_know_what_comes_later(sql: str) -> None:
    made = charter(common_solutions=(CommonSolution(name="rule", sql=sql, line=9),))
    found = expressions.check_charter(made, ["id", "value", "churned", "minutes"], [contract(Column(name="minutes", known="after"))])
    assert [finding.where.line for finding in found if finding.where] == [9]


def test_an_amount_beyond_all_money_names_rows_and_cell(bench: Bench) -> None:
    bench.add("holdout", pa.table({"id": [11, 12, 13], "value": [1.0, -2e12, 3e13], "churned": [True, False, True]}))
    cells = (Cell(action="offer", outcome="churned", sql="value", line=7), *charter().cells[1:])
    made = charter(cells=cells)
    with pytest.raises(InvalidInput) as caught:
        expressions.refuse_unusable(made, bench.query(expressions.payoff_query(made, ["id", "value", "churned"])))
    assert "2 rows of 3 (id 12, 13)" in caught.value.what
    assert str(caught.value.where) == "charter.toml:7"


def test_a_rule_without_else_is_refused(bench: Bench) -> None:
    bench.add("holdout", pa.table({"id": [1, 2], "value": [10.0, 2.0], "churned": [True, False]}))
    made = charter(common_solutions=(CommonSolution(name="rule", sql="case when value > 5 then 'offer' end"),))
    with pytest.raises(InvalidInput, match="names none of the actions for 1 row"):
        expressions.refuse_unusable(made, bench.query(expressions.payoff_query(made, ["id", "value", "churned"])))


# -- predictions

STEP = Step(name="model", kind="python", file="pipeline.py", line=4, inputs=(), output="object")


@pytest.mark.parametrize(
    ("columns", "classes", "words"),
    [
        ({"p_0": [0.5], "p_1": [0.5]}, [0, 1], "predicted 1 row for 2"),
        ({"p_0": [0.5, float("nan")], "p_1": [0.5, 0.5]}, [0, 1], "no number"),
        ({"p_0": [0.5, float("inf")], "p_1": [0.5, 0.5]}, [0, 1], "no number"),
        ({"p_0": [1.5, 0.5], "p_1": [-0.5, 0.5]}, [0, 1], "outside 0 to 1"),
        ({"p_0": [0.5, 0.5], "p_1": [0.2, 0.5]}, [0, 1], "add up to 1 for 1 row"),
        ({"p_a": [0.5, 0.5], "p_b": [0.5, 0.5]}, ["a", "b"], "knows the classes a, b"),
    ],
)
def test_predictions_that_cannot_be_used(columns: dict[str, list[float]], classes: list[Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        predictions.probabilities(charter(), STEP, pa.table(columns), classes, rows=2)


@pytest.mark.parametrize(("classes", "positive"), [([0, 1], True), ([False, True], True), (["no", "yes"], "yes"), ([0, 1], 1)])
def test_classes_find_their_outcomes(classes: list[Any], positive: Any) -> None:
    outcome = OutcomeSpec(column="churned", positive=positive, means="m", name="churned")
    made = charter(decision=msgspec.structs.replace(charter().decision, outcome=outcome))
    table = pa.table({f"p_{c}": p for c, p in zip(classes, ([0.9, 0.2], [0.1, 0.8]), strict=True)})
    found = predictions.probabilities(made, STEP, table, classes, rows=2)
    assert found["churned"].to_pylist() == [0.1, 0.8]
    assert found["stays"].to_pylist() == [0.9, 0.2]


def test_one_number_is_the_chance_of_the_positive_outcome() -> None:
    found = predictions.probabilities(charter(), STEP, pa.table({"prediction": [0.25]}), None, rows=1)
    assert (found["churned"].to_pylist(), found["stays"].to_pylist()) == ([0.25], [0.75])


def test_columns_known_after_the_decision_are_no_features() -> None:
    late = contract(Column(name="duration", known="after", why="only then"))
    assert known.features(charter(), [late], ["id", "duration", "churned"]) == ("id", "churned")
    assert known.features(charter(), [late], ["id", "Duration", "churned"]) == ("id", "churned")
    assert known.excluded(charter(), [late], ["duration"]) == {"duration": "only then"}


# -- content hash


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(st.tuples(st.integers(-5, 5) | st.none(), st.sampled_from(["", "a", "b"]) | st.none()), max_size=8), seed=st.randoms())
def test_identity_is_blind_to_order_and_to_nothing_else(bench: Bench, rows: list[tuple[Any, Any]], seed: Any) -> None:
    def identity(listed: list[tuple[Any, Any]]) -> str:
        table = pa.table({"a": pa.array([r[0] for r in listed], pa.int64()), "b": pa.array([r[1] for r in listed], pa.string())})
        bench.add("x", table)
        return bench.engine.identify(bench.files["x"]).hash

    mixed = list(rows)
    seed.shuffle(mixed)
    name = identity(rows)
    assert identity(mixed) == name
    assert identity([*rows, (1, "a")]) != name
    assert identity([*rows, *rows, (0, "")]) != identity([*rows, (0, "")]) or not rows
    if rows:
        assert identity([(None if rows[0][0] is not None else 0, rows[0][1]), *rows[1:]]) != name
