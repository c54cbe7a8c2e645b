"""Steps as they are declared: forms, parameters, names, circles, and who sees the holdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Written

    from payoff.records.project import Step

HEAD = "import payoff\nimport pandas as pd\nimport ibis\nfrom payoff import step\n"
ALL = """
@step
def examples(customers: ibis.Table, usage_clean: ibis.Table) -> ibis.Table: return customers
@step
def model(train: pd.DataFrame): return train
"""


def steps(written: Written, text: str, head: str = HEAD) -> dict[str, Step]:
    """The steps of a pipeline."""
    written.write("pipeline.py", head + text + ALL)
    project, _ = written.inspect()
    assert project is not None
    return {step.name: step for step in project.steps}


@pytest.mark.parametrize(
    ("imports", "annotation", "form"),
    [
        ("", "ibis.Table", "ibis"),
        ("from ibis import Table as T", "T", "ibis"),
        ("import ibis.expr.types as ir", "ir.Table", "ibis"),
        ("import pyarrow as pa", "pa.Table", "pyarrow"),
        ("from pyarrow import Table", "Table", "pyarrow"),
        ("", "pd.DataFrame", "pandas"),
        ("", "'pd.DataFrame'", "pandas"),
        ("from typing import Optional", "Optional[pd.DataFrame]", "pandas"),
        ("", "pd.DataFrame | None", "pandas"),
        ("import polars as pl", "pl.DataFrame", "polars"),
        ("import pathlib", "pathlib.Path", "path"),
        ("from pathlib import Path", "Path", "path"),
        ("import typing as t", "t.Annotated[pd.DataFrame, payoff.columns('a', 'b')]", "pandas"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import polars", "'polars.DataFrame'", "polars"),
        ("class Table: pass", "Table", "object"),
        ("", "dict[str, int]", "object"),
        ("", "'not valid['", "object"),
    ],
)
def test_forms(written: Written, imports: str, annotation: str, form: str) -> None:
    found = steps(
        written,
        f"{imports}\n@step\ndef a(customers: {annotation}): return customers\n@step\ndef b(a) -> {annotation}: return a\n",
    )
    assert found["a"].inputs[0].form == form
    assert found["b"].output == form
    assert found["a"].inputs[0].columns == (("a", "b") if "columns" in annotation else None)


@pytest.mark.parametrize("spelled", ["@step", "@step()", "@payoff.step", "@payoff.step(seed=1)", "@p.step", "@s"])
def test_spellings_of_the_decorator(written: Written, spelled: str) -> None:
    found = steps(
        written,
        f"import payoff as p\nfrom payoff import step as s\n{spelled}\ndef a(customers: pd.DataFrame): return 1\n",
    )
    assert found["a"].line == 8
    assert (found["a"].module, found["a"].function) == ("pipeline", "a")


def test_settings_and_parameters(written: Written) -> None:
    found = steps(
        written,
        "@step(name='other', seed=-7, deterministic=False, threads=2)\n"
        "def a(customers: pd.DataFrame, *, n: int = 5, x=1.5, t='a', l=[1, {'k': None}], b=True): return 1\n",
    )
    step = found["other"]
    assert (step.seed, step.deterministic, step.threads, step.function) == (-7, False, 2, "a")
    assert step.parameters == {"n": 5, "x": 1.5, "t": "a", "l": [1, {"k": None}], "b": True}
    assert written.inspect()[0] == written.inspect()[0]


@pytest.mark.parametrize(
    ("text", "code", "line", "words"),
    [
        ("@step(sed=1)\ndef a(customers: pd.DataFrame): return 1", "PO-P041", 5, "nearest: seed"),
        ("@step(seed=X)\ndef a(customers: pd.DataFrame): return 1", "PO-P041", 5, "not executed"),
        ("@step(seed='a')\ndef a(customers: pd.DataFrame): return 1", "PO-P041", 5, "whole number"),
        ("@step(seed=True)\ndef a(customers: pd.DataFrame): return 1", "PO-P041", 5, "whole number"),
        ("@step(threads=0)\ndef a(customers: pd.DataFrame): return 1", "PO-P041", 5, "1 or more"),
        ("@step(name='a b')\ndef a(customers: pd.DataFrame): return 1", "PO-P041", 5, "name"),
        ("@step('x')\ndef a(customers: pd.DataFrame): return 1", "PO-P041", 5, "with ="),
        ("@step(environment='tran')\ndef a(customers: pd.DataFrame): return 1", "PO-P012", 6, "default"),
        ("@step\ndef a(*tables): return 1", "PO-P042", 6, "by its name"),
        ("@step\ndef a(customers: pd.DataFrame, **more): return 1", "PO-P042", 6, "by its name"),
        ("@step\ndef a(customers=None): return 1", "PO-P042", 6, "behind a `*`"),
        ("@step\nasync def a(customers: pd.DataFrame): return 1", "PO-P042", 6, "not async"),
        ("@step\ndef a(customers: pd.DataFrame, *, n): return 1", "PO-P043", 6, "default"),
        ("@step\ndef a(customers: pd.DataFrame, *, n=len([])): return 1", "PO-P043", 6, "number"),
        ("@step\ndef a(customers: pd.DataFrame, *, n={1: 2}): return 1", "PO-P043", 6, "keys are text"),
        ("@step\ndef a(customers: pd.DataFrame, *, n=b'x'): return 1", "PO-P043", 6, "number"),
        ("@step\ndef a(customers: pd.DataFrame): return 1\n@step\ndef a(): return 2", "PO-P044", 8, "pipeline.py:6"),
        ("@step\ndef customers(usage: pd.DataFrame): return 1", "PO-P044", 6, "each name once"),
        ("@step\ndef train(usage: pd.DataFrame): return 1", "PO-P045", 6, "another name"),
        ("@step\ndef a(custmers: pd.DataFrame): return 1", "PO-P046", 6, "nearest: customers"),
        (
            "@step\ndef a(b): return 1\n@step\ndef b(c): return 1\n@step\ndef c(a): return 1",
            "PO-P047",
            6,
            "inputs first",
        ),
        ("@step\ndef a(a): return 1", "PO-P047", 6, "inputs first"),
        ("@step\ndef a(holdout: pd.DataFrame): return 1", "PO-P049", 6, "train"),
        ("@step\ndef a(customers: pd.DataFrame) -> ibis.Table: return 1", "PO-P052", 6, "ibis.Table"),
        ("def outer():\n    @step\n    def a(customers: pd.DataFrame): return 1", "PO-P054", 7, "top of the file"),
        ("def a(:", "PO-P040", 5, "Python"),
    ],
)
def test_a_mistake(written: Written, text: str, code: str, line: int, words: str) -> None:
    written.write("pipeline.py", HEAD + text + "\n" + ALL)
    finding = next(f for f in written.inspect()[1] if f.severity == "error")
    assert finding.code == code
    assert finding.where is not None
    assert (finding.where.file, finding.where.line) == ("pipeline.py", line)
    assert words in finding.expected
    assert finding.try_


def test_a_circle_is_shown(written: Written) -> None:
    written.write(
        "pipeline.py", HEAD + "@step\ndef a(b): return 1\n@step\ndef b(c): return 1\n@step\ndef c(a): return 1\n" + ALL
    )
    (finding,) = [f for f in written.inspect()[1] if f.code == "PO-P047"]
    assert (
        "c -> b -> a -> c" in finding.what or "a -> c -> b -> a" in finding.what or "b -> a -> c -> b" in finding.what
    )


def test_the_examples_cannot_be_made_of_train(written: Written) -> None:
    written.change("pipeline.py", "customers: ibis.Table,", "customers: ibis.Table, train: ibis.Table,")
    assert "PO-P047" in written.codes()


def test_a_step_that_is_not_imported(written: Written) -> None:
    written.write("pipeline.py", "import pandas as pd\n@step\ndef a(customers): return 1\n")
    assert "PO-P055" in written.codes()


def test_another_librarys_step_is_none_of_ours(written: Written) -> None:
    assert "a" not in steps(written, "import zenml\n@zenml.step\ndef a(nothing): return 1\n")


def test_an_unused_step(written: Written) -> None:
    written.write("pipeline.py", HEAD + "@step\ndef a(customers: pd.DataFrame): return 1\n" + ALL)
    assert written.only("PO-P048").severity == "warning"


@pytest.mark.parametrize(
    ("parameter", "extra", "path"),
    [
        ("examples", "", "examples -> model"),
        ("customers", "", "customers -> model"),
        ("prices", "@step\ndef prices(customers: pd.DataFrame): return 1\n", "customers -> prices -> model"),
    ],
)
def test_a_model_that_would_see_the_holdout(written: Written, parameter: str, extra: str, path: str) -> None:
    written.write(
        "pipeline.py",
        HEAD + extra + ALL.replace("train: pd.DataFrame", f"train: pd.DataFrame, {parameter}: pd.DataFrame"),
    )
    assert f"({path})" in written.only("PO-P051").what


def test_a_model_may_take_what_has_no_outcome(written: Written) -> None:
    written.write("pipeline.py", HEAD + ALL.replace("train: pd.DataFrame", "train: pd.DataFrame, usage: pd.DataFrame"))
    written.project()


def test_project_code_is_never_executed(written: Written) -> None:
    written.write("lib/deep.py", f"open({str(written.root / 'ran')!r}, 'w')\ndef helper(): return 1\n")
    written.project()
    assert not (written.root / "ran").exists()


def test_a_pipeline_package(written: Written) -> None:
    text = (written.root / "pipeline.py").read_text()
    written.remove("pipeline.py")
    head, _, model = text.partition("@step(seed=7)")
    written.write("pipeline/__init__.py", "")
    written.write("pipeline/tables.py", head)
    written.write("pipeline/learn.py", "import pandas as pd\nfrom payoff import step\n@step(seed=7)" + model)
    project = written.project()
    assert {(s.name, s.module) for s in project.steps if s.kind == "python"} == {
        ("examples", "pipeline.tables"),
        ("model", "pipeline.learn"),
    }
    assert "lib.deep.helper" in project.step("examples").parts  # type: ignore[union-attr]


def test_another_file(written: Written) -> None:
    (written.root / "flows").mkdir()
    (written.root / "pipeline.py").rename(written.root / "flows/churn.py")
    written.change("payoff.toml", "[sources.usage]", '[pipeline]\nfile = "flows/churn.py"\n[sources.usage]')
    assert written.project().step("model").module == "flows.churn"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("query", "tables"),
    [
        ("select * from usage -- done;\n;", ["usage"]),
        ("with customers as (select * from CUSTOMERS) select * from customers", ["customers"]),
        ("from usage join customers using (customer_id)", ["usage", "customers"]),
        ("select * from usage where customer_id in (select customer_id from customers)", ["usage", "customers"]),
        (
            "with recursive r as (select 1 as n union all select n + 1 from r where n < 3) select * from r, usage",
            ["usage"],
        ),
        ("select * from range(10), usage", ["usage"]),
        ("pivot usage on minutes using count(*)", ["usage"]),
    ],
)
def test_the_tables_of_a_query(written: Written, query: str, tables: list[str]) -> None:
    written.write("sql/usage_clean.sql", query)
    step = written.project().step("usage_clean")
    assert step is not None
    assert [each.name for each in step.inputs] == tables
    assert step.sql is not None
    assert not step.sql.rstrip().endswith(";")


@pytest.mark.parametrize(
    ("query", "code", "line"),
    [
        ("select\n\n (1 + from usage", "PO-P060", 3),
        ("", "PO-P061", 1),
        ("select 1; select 2", "PO-P061", 1),
        ("drop table usage", "PO-P061", 1),
        ("copy usage to 'x.csv'", "PO-P061", 1),
        ("select *\nfrom read_csv('x.csv')", "PO-P062", 2),
        ("select *\nfrom 'x.csv'", "PO-P062", 2),
        ("select * from other.usage", "PO-P062", 1),
        ("select * from usag", "PO-P046", 1),
        ("select * from holdout", "PO-P049", 1),
    ],
)
def test_a_query_that_cannot_be_a_step(written: Written, query: str, code: str, line: int) -> None:
    written.write("sql/usage_clean.sql", query)
    finding = next(f for f in written.inspect()[1] if f.severity == "error")
    assert (finding.code, finding.where and finding.where.line) == (code, line)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT\n  *\nFROM usage /* only real use */ WHERE minutes>0",
        "-- other words\nselect * from usage where (minutes > 0)"[:0] + "select * from usage where minutes > 0",
    ],
)
def test_the_formatting_of_a_query_does_not_matter(written: Written, query: str) -> None:
    before = written.project().step("usage_clean")
    written.write("sql/usage_clean.sql", query)
    after = written.project().step("usage_clean")
    assert before is not None
    assert after is not None
    assert after.code == before.code
    written.change("sql/usage_clean.sql", "0", "1")
    assert written.project().step("usage_clean").code != before.code  # type: ignore[union-attr]


def test_columns_that_a_contract_does_not_list(written: Written) -> None:
    written.change(
        "pipeline.py",
        "train: pd.DataFrame",
        "train: pd.DataFrame, usage: 'Annotated[pd.DataFrame, columns(\"minuts\")]'",
    )
    written.change(
        "pipeline.py", "from payoff import step", "from typing import Annotated\nfrom payoff import step, columns"
    )
    assert "nearest: minutes" in written.only("PO-C023").expected


def test_code_that_is_nested_very_deeply(written: Written) -> None:
    written.write("lib/deep.py", "def helper():\n    return " + " + ".join(["1"] * 5000) + "\n")
    finding = next(f for f in written.inspect()[1] if f.severity == "error")
    assert finding.code == "PO-P040"
    written.write("lib/deep.py", "def helper():\n    return " + "(" * 1000 + "1" + ")" * 1000 + "\n")
    finding = next(f for f in written.inspect()[1] if f.severity == "error")
    assert finding.code == "PO-P040"


def test_a_module_that_is_nested_very_deeply(written: Written) -> None:
    written.write("lib/deep.py", "HUGE = " + " + ".join(["1"] * 5000) + "\ndef helper():\n    return 1\n")
    assert "PO-P040" in written.codes()


def test_a_step_outside_of_the_pipeline(written: Written) -> None:
    written.write("lib/more.py", "from payoff import step\n\n@step\ndef more(customers):\n    return 1\n")
    written.change("pipeline.py", "from lib import", "from lib.more import more\nfrom lib import")
    finding = written.only("PO-P057")
    assert (finding.severity, finding.where and finding.where.line) == ("warning", 4)


def test_a_model_that_takes_what_is_known_only_later(written: Written) -> None:
    written.change("contracts/usage.yaml", "logicalType: number", "logicalType: number\n        customProperties: [{property: known, value: after}]")
    written.write("pipeline.py", HEAD + ALL.replace("train: pd.DataFrame", "train: pd.DataFrame, usage: pd.DataFrame"))
    assert "minutes" in written.only("PO-P050").what


def test_foreign_keys(written: Written) -> None:
    written.change("contracts/usage.yaml", "customers.customer_id", "elsewhere.id")
    assert written.only("PO-P079").severity == "warning"
    written.change("contracts/usage.yaml", "elsewhere.id", "customers.customer")
    finding = written.only("PO-P079")
    assert (finding.severity, finding.where and finding.where.line) == ("error", 9)
    assert "nearest: customer_id" in finding.expected


def test_contracts_for_tables_that_are_not_there(written: Written) -> None:
    written.change("contracts/usage.yaml", "- name: usage", "- name: usages")
    written.change("contracts/customers.yaml", "- name: customers", "- name: usages")
    codes = [f.code for f in written.inspect()[1]]
    assert codes.count("PO-P076") == 1
    assert codes.count("PO-P077") == 1


def test_a_query_that_the_parser_stumbles_over(written: Written) -> None:
    written.write("sql/usage_clean.sql", "select * from usage |> where 0 0")
    finding = next(f for f in written.inspect()[1] if f.severity == "error")
    assert finding.code in ("PO-P060", "PO-P061")
