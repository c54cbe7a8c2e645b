"""`payoff.as_of` in a pipeline is read as what `[joins]` in payoff.toml says: the same join, and so the same query, columns and rows."""

from __future__ import annotations

import ast
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import payoff
from payoff.project.pipeline import declared, joins
from payoff.project.pipeline.modules import Module
from payoff.project.spec import Key

if TYPE_CHECKING:
    from conftest import Written

    from payoff.records.joins.as_of import Join

HEAD = "import payoff\nfrom payoff import as_of, facts\n"


class Heard:
    """Takes findings."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, int, str]] = []

    def error(self, code: str, what: str, place: Any, *, expected: str, remedy: str) -> None:
        assert remedy
        self.said.append((code, what, place.line, expected))


def read(source: str) -> tuple[list[Join], list[tuple[str, str, int, str]]]:
    heard = Heard()
    module = Module("pipeline", "pipeline.py", ast.parse(HEAD + source), package=False)
    return [step.join for step in declared.steps(heard, module) if step.join], heard.said  # type: ignore[arg-type]


class Document:
    """payoff.toml, as far as joins are read from it."""

    def __init__(self, text: str) -> None:
        self.table = tomllib.loads(text)

    def line(self, path: Any) -> int:
        return 1


NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(lambda n: n not in ("train", "holdout", "at", "self") and not __import__("keyword").iskeyword(n))
TEXT = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)
FACTS = st.fixed_dictionaries(
    {"valid": TEXT, "columns": st.lists(TEXT, min_size=1, max_size=3, unique_by=str.lower)},
    optional={
        "by": st.lists(TEXT | st.tuples(TEXT, TEXT).map(" = ".join), max_size=2),
        "known": TEXT,
        "within": st.tuples(st.integers(1, 999), st.sampled_from(["second", "minutes", "hours", "day", "weeks"])).map(lambda pair: f"{pair[0]} {pair[1]}"),
    },
)


@settings(max_examples=150, deadline=None)
@given(NAME, TEXT, TEXT, st.dictionaries(NAME, FACTS, min_size=1, max_size=3))
def test_the_same_join_as_in_payoff_toml(name: str, rows: str, at: str, tables: dict[str, dict[str, Any]]) -> None:
    tables = {table: {**section, "prefix": f"p{number}_"} for number, (table, section) in enumerate(tables.items())}
    code = ", ".join(f"{table}=facts({', '.join(f'{key}={value!r}' for key, value in section.items())})" for table, section in tables.items())
    toml = [f"[joins.{name}]", f'rows = "{rows}"', f'at = "{at}"']
    for table, section in tables.items():
        toml += [f"[joins.{name}.as_of.{table}]", *(f"{key} = {value!r}".replace("'", '"') for key, value in section.items())]
    found, said = read(f"{name} = as_of({rows!r}, at={at!r}, {code})")
    (wanted,) = joins.steps(Document("\n".join(toml)), Heard())  # type: ignore[arg-type]
    assert said == []
    assert [replace(each, line=0, file="", as_of=tuple(replace(f, line=0) for f in each.as_of)) for each in found] == [
        replace(wanted.join, line=0, file="", as_of=tuple(replace(f, line=0) for f in wanted.join.as_of))  # type: ignore[union-attr]
    ]
    step = joins.step(found[0])
    assert (step.code, step.sql, step.inputs, step.parts) == (wanted.code, wanted.sql, wanted.inputs, wanted.parts)
    # What is read is also what Python makes of it.
    space: dict[str, Any] = {}
    exec(f"{HEAD}{name} = as_of({rows!r}, at={at!r}, {code})", space)
    made = space[name]
    assert (made.rows, made.at, list(made.tables)) == (rows, at, list(tables))
    assert {each.valid for each in made.tables.values()} == {section["valid"] for section in tables.values()}


def test_it_may_be_written_in_any_way_that_python_has() -> None:
    for text in (
        'a: payoff.as_of = payoff.as_of("x", at="t", y=payoff.facts(valid="v", columns=("c",)))',
        'import payoff as p\na = p.as_of("x",\n  at="t",\n  y=p.facts(valid="v", columns=["c"]))',
        'from payoff import as_of as joined, facts as f\na = joined("x", at="t", y=f(valid="v", columns=["c"]))',
    ):
        (join,), said = read(text)
        assert said == []
        assert (join.name, join.rows, join.at, join.as_of[0].columns, join.file) == ("a", "x", "t", ("c",), "pipeline.py")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('a = as_of(at="t", y=facts(valid="v", columns=["c"]))', "whose rows"),
        ('a = as_of("x", y=facts(valid="v", columns=["c"]))', "own time"),
        ('a = as_of("x", at="t")', "takes no facts"),
        ('a = as_of("x", at="t", y=facts(columns=["c"]))', "have no valid"),
        ('a = as_of("x", at="t", y=facts(valid="v"))', "have no columns"),
        ('a = as_of("x", at="t", y=facts(valid="v", columns=[]))', "name no column"),
        ('a = as_of("x", at="t", y=facts(valid="v", columns="c"))', "columns of the join a has a value"),
        ('a = as_of("x", at="t", y=facts(valid="v", columns=["c"], within="long"))', "within of the join a has a value"),
        ('a = as_of("x", at="t", y=facts(valid="v", columns=["c"], know="k"))', "no argument 'know'"),
        ('a = as_of("x", at="t", y=facts("v", columns=["c"]))', "not written out"),
        ('a = as_of("x", at="t", y=FACTS)', "not written out"),
        ('a = as_of("x", at="t", **FACTS)', "from elsewhere"),
        ('a = as_of(NAME, at="t", y=facts(valid="v", columns=["c"]))', "rows of the join a is not written out"),
        ('a = as_of("x", at=3, y=facts(valid="v", columns=["c"]))', "at of the join a has a value"),
        ('a = as_of("x", at="t", y=facts(valid="v", columns=["c"]), z=facts(valid="v", columns=["C"]))', "two columns named"),
        ('train = as_of("x", at="t", y=facts(valid="v", columns=["c"]))', "cannot be named 'train'"),
        ('def f():\n    return as_of("x", at="t", y=facts(valid="v", columns=["c"]))', "declares nothing"),
        ('a = b = as_of("x", at="t", y=facts(valid="v", columns=["c"]))', "declares nothing"),
        ('a = [as_of("x", at="t", y=facts(valid="v", columns=["c"]))]', "declares nothing"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, says: str) -> None:
    found, said = read(f"\n{text}")
    assert found == []
    assert says in " | ".join(what for _, what, _, _ in said)
    assert {(code, line >= 4, bool(expected)) for code, _, line, expected in said} == {("PO-P016", True, True)}


def test_facts_takes_what_payoff_toml_takes() -> None:
    import inspect

    known = {name: key for name, key in joins.FACTS.keys.items() if isinstance(key, Key)}
    given = inspect.signature(payoff.facts).parameters
    assert known.keys() == given.keys()
    assert {name for name, key in known.items() if key.required} == {name for name, each in given.items() if each.default is inspect.Parameter.empty}


def test_a_project_has_it_as_a_step_and_one_name_is_one_table(written: Written) -> None:
    body = """
from payoff import as_of, facts, step
import ibis, pandas as pd
enriched = as_of("customers", at="since", usage_clean=facts(by=["customer_id"], valid="month", columns=["visits"], prefix="then_"))
@step
def examples(enriched: ibis.Table) -> ibis.Table: return enriched
@step
def model(train: pd.DataFrame): return train
"""
    written.write("pipeline.py", body)
    project, findings = written.inspect()
    assert project is not None
    step = {each.name: each for each in project.steps}["enriched"]
    assert (step.kind, step.file, [each.name for each in step.inputs]) == ("sql", "pipeline.py", ["customers", "usage_clean"])
    written.write("pipeline.py", body + '\nenriched = as_of("customers", at="since", usage_clean=facts(valid="month", columns=["visits"]))\n')
    _, findings = written.inspect()
    assert "PO-P044" in {each.code for each in findings}


def test_a_change_of_a_join_makes_no_step_stale_that_does_not_take_it(written: Written) -> None:
    def parts(prefix: str) -> dict[str, str]:
        written.write("pipeline.py", f"""
from payoff import as_of, facts, step
import ibis, pandas as pd
enriched = as_of("customers", at="since", usage_clean=facts(valid="month", columns=["visits"], prefix="{prefix}"))
@step
def examples(customers: ibis.Table, usage_clean: ibis.Table) -> ibis.Table: return customers
@step
def model(train: pd.DataFrame): return train
""")
        project, _ = written.inspect()
        assert project is not None
        return {each.name: each.code for each in project.steps}

    before, after = parts("a_"), parts("b_")
    assert {name for name in before if before[name] != after[name]} == {"enriched"}
