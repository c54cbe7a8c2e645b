"""Contracts in the Open Data Contract Standard: valid, mapped, nothing silently ignored."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from payoff.project.contracts import marks
from payoff.project.contracts import table as contracts
from payoff.project.files import Reading

if TYPE_CHECKING:
    from payoff.records.contract import Column, Contract, TableCheck
    from payoff.records.finding import Finding

HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: c\nversion: 1.2.3\nstatus: active\n"


def read(tmp_path: Path, text: str) -> tuple[tuple[Contract, ...], list[Finding]]:
    """The contracts in a text, and what is found in it."""
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    reading = Reading(tmp_path)
    found, _ = contracts.read(reading, "c.yaml")
    return found, reading.findings


def one(tmp_path: Path, properties: list[dict[str, Any]], table: dict[str, Any] | None = None, **top: Any) -> Contract:
    """The contract of one table, which has nothing to find."""
    found, findings = made(tmp_path, properties, table, **top)
    assert findings == []
    return found


def made(
    tmp_path: Path, properties: list[dict[str, Any]], table: dict[str, Any] | None = None, **top: Any
) -> tuple[Contract, list[Finding]]:
    """The contract of one table, and what is found in it."""
    data = {"schema": [{"name": "t", "properties": properties, **(table or {})}], **top}
    found, findings = read(tmp_path, HEAD + yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
    assert found, findings
    return found[0], findings


def column(tmp_path: Path, **properties: Any) -> Column:
    """One column of a contract with nothing to find."""
    return one(tmp_path, [{"name": "c", "logicalType": "string", **properties}]).columns[0]


def check(tmp_path: Path, rule: dict[str, Any], kind: str = "number") -> TableCheck:
    """The check that a column's rule comes to."""
    (found,) = one(tmp_path, [{"name": "c", "logicalType": kind, "quality": [rule]}]).checks
    return found


def test_everything_about_a_column(tmp_path: Path) -> None:
    found = column(
        tmp_path,
        description="d",
        physicalType="VARCHAR",
        required=True,
        unique=True,
        classification="personal",
        logicalTypeOptions={"minLength": 2, "maxLength": 5, "pattern": "^a.*"},
        customProperties=[
            {"property": "known", "value": "after"},
            {"property": "knownWhy", "value": "w"},
            {"property": "currency", "value": "EUR"},
            {"property": "team", "value": {"anything": 1}},
        ],
    )
    assert (found.type, found.physical_type, found.required, found.unique) == ("string", "VARCHAR", True, True)
    assert (found.min_length, found.max_length, found.pattern) == (2, 5, "^a.*")
    assert (found.known, found.why, found.currency, found.classification) == ("after", "w", "EUR", "personal")


@pytest.mark.parametrize(
    ("kind", "options", "low", "high"),
    [
        ("integer", {"minimum": 1, "maximum": 5}, 1, 5),
        ("integer", {"exclusiveMinimum": 1, "exclusiveMaximum": 5}, 2, 4),
        ("number", {"minimum": 0.5}, 0.5, None),
        ("date", {"minimum": "2020-01-01", "maximum": "2030-01-01"}, "2020-01-01", "2030-01-01"),
    ],
)
def test_ranges(tmp_path: Path, kind: str, options: dict[str, Any], low: Any, high: Any) -> None:
    found = column(tmp_path, logicalType=kind, logicalTypeOptions=options)
    assert (found.minimum, found.maximum) == (low, high)


def test_dates_need_no_quotes(tmp_path: Path) -> None:
    (found,), findings = read(
        tmp_path,
        HEAD
        + "schema:\n- name: t\n  properties:\n  - name: d\n    logicalType: date\n    logicalTypeOptions: {minimum: 2020-01-01}\n",
    )
    assert findings == []
    assert found.columns[0].minimum == "2020-01-01"


def test_what_a_range_cannot_say_is_a_query(tmp_path: Path) -> None:
    contract = one(
        tmp_path,
        [{"name": "c", "logicalType": "number", "logicalTypeOptions": {"exclusiveMinimum": 0, "multipleOf": 5}}],
    )
    assert [check.sql for check in contract.checks] == [
        'select count(*) from {table} where "c" <= 0',
        'select count(*) from {table} where "c" % 5 <> 0',
    ]
    assert all((check.minimum, check.maximum) == (0, 0) for check in contract.checks)


def test_keys(tmp_path: Path) -> None:
    single = one(tmp_path, [{"name": "a", "logicalType": "integer", "primaryKey": True}])
    assert (single.columns[0].unique, single.columns[0].required, single.checks) == (True, True, ())
    two = one(
        tmp_path,
        [
            {"name": n, "logicalType": "integer", "primaryKey": True, "primaryKeyPosition": i + 1}
            for i, n in enumerate("ab")
        ],
    )
    assert [(c.unique, c.primary_key, c.required) for c in two.columns] == [(False, False, True)] * 2
    assert (two.checks[0].kind, two.checks[0].columns) == ("unique", ("a", "b"))


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ({"metric": "nullValues", "mustBe": 0}, {"required": True}),
        ({"metric": "nullValues", "mustBeLessThan": 1}, {"required": True}),
        ({"metric": "duplicateValues", "mustBe": 0}, {"unique": True}),
        ({"metric": "invalidValues", "arguments": {"validValues": ["a", "b"]}, "mustBe": 0}, {"enum": ("a", "b")}),
        (
            {"type": "library", "metric": "invalidValues", "arguments": {"pattern": "^x"}, "mustBeLessOrEqualTo": 0},
            {"pattern": "^x"},
        ),
    ],
)
def test_rules_that_are_promises_of_a_column(tmp_path: Path, rule: dict[str, Any], changes: dict[str, Any]) -> None:
    found = column(tmp_path, quality=[rule])
    assert {name: getattr(found, name) for name in changes} == changes


@pytest.mark.parametrize(
    ("rule", "sql", "low", "high"),
    [
        (
            {"metric": "nullValues", "mustBeLessThan": 5},
            'select count(*) filter (where "c" is null) from {table}',
            None,
            4,
        ),
        (
            {"metric": "nullValues", "mustBeLessThan": 5, "unit": "percent"},
            'select coalesce(100.0 * count(*) filter (where "c" is null) / nullif(count(*), 0), 0) from {table}',
            None,
            math.nextafter(5, 0),
        ),
        (
            {"metric": "missingValues", "arguments": {"missingValues": [None, "", "n/a"]}, "mustBe": 0},
            "select count(*) filter (where \"c\" is null or cast(\"c\" as varchar) in ('', 'n/a')) from {table}",
            0,
            0,
        ),
        (
            {"metric": "invalidValues", "arguments": {"validValues": [1, "it's"]}, "mustBeBetween": [0, 3]},
            "select count(*) filter (where \"c\" is not null and (\"c\" not in (1, 'it''s'))) from {table}",
            0,
            3,
        ),
        (
            {"metric": "nullValues", "mustNotBe": 7},
            'select case when (select count(*) filter (where "c" is null) from {table}) between 7 and 7 then 1 else 0 end',
            0,
            0,
        ),
        (
            {"type": "sql", "query": "SELECT max(${column}) FROM ${table}", "mustBeGreaterOrEqualTo": 3},
            'SELECT MAX("c") FROM {table}',
            3,
            None,
        ),
        (
            {"type": "sql", "query": "select count(*) from T where c > 1", "mustBe": 3},
            "SELECT COUNT(*) FROM {table} AS T WHERE c > 1",
            3,
            3,
        ),
    ],
)
def test_rules_that_are_queries(
    tmp_path: Path, rule: dict[str, Any], sql: str, low: float | None, high: float | None
) -> None:
    found = check(tmp_path, rule)
    assert (found.kind, found.sql, found.minimum, found.maximum, found.column) == ("sql", sql, low, high, "c")


def test_a_warning_stays_one(tmp_path: Path) -> None:
    found = check(tmp_path, {"metric": "nullValues", "mustBe": 0, "severity": "warning", "name": "few gaps"})
    assert (found.severity, found.name) == ("warning", "few gaps")


@pytest.mark.parametrize(
    ("operator", "low", "high"),
    [
        ({"mustBe": 5}, 5, 5),
        ({"mustBeGreaterThan": 5}, 6, None),
        ({"mustBeGreaterOrEqualTo": 5}, 5, None),
        ({"mustBeLessThan": 5}, None, 4),
        ({"mustBeBetween": [5, 9]}, 5, 9),
    ],
)
def test_row_counts(tmp_path: Path, operator: dict[str, Any], low: int | None, high: int | None) -> None:
    contract = one(tmp_path, [{"name": "c"}], {"quality": [{"metric": "rowCount", **operator}]})
    (found,) = contract.checks
    assert (found.kind, found.minimum, found.maximum, found.line) == ("row-count", low, high, 11)


def test_unique_over_several_columns(tmp_path: Path) -> None:
    rule = {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": ["a", "b"]}}
    contract = one(tmp_path, [{"name": "a", "physicalName": "aa"}, {"name": "b"}], {"quality": [rule]})
    assert contract.checks[0].columns == ("aa", "b")


@pytest.mark.parametrize(
    ("unit", "value", "seconds"),
    [("d", 2, 172800), ("hours", 1, 3600), ("minutes", 5, 300), ("min", 5, 300), ("w", 1, 604800)],
)
def test_freshness(tmp_path: Path, unit: str, value: int, seconds: int) -> None:
    level = {"property": "freshness", "value": value, "unit": unit, "element": "t.day"}
    contract = one(tmp_path, [{"name": "day", "logicalType": "date"}], slaProperties=[level])
    assert (contract.checks[0].kind, contract.checks[0].column, contract.checks[0].maximum) == (
        "freshness",
        "day",
        seconds,
    )


def test_physical_names(tmp_path: Path) -> None:
    contract = one(
        tmp_path,
        [
            {"name": "id", "physicalName": "ID_1", "logicalType": "integer"},
            {"name": "x", "relationships": [{"to": "u.v"}]},
        ],
        {"relationships": [{"from": "t.id", "to": "schema/t/properties/x"}]},
    )
    assert [c.name for c in contract.columns] == ["ID_1", "x"]
    assert [c.references for c in contract.columns] == [("t", "x"), ("u", "v")]


def test_no_value_is_among_the_allowed_ones(tmp_path: Path) -> None:
    rule = {"metric": "invalidValues", "arguments": {"validValues": ["a", None]}, "mustBe": 0}
    assert column(tmp_path, quality=[rule]).enum == ("a",)
    assert "None" not in (check(tmp_path, {**rule, "mustBe": 5}).sql or "")


@pytest.mark.parametrize(
    ("properties", "table", "words"),
    [
        ({"quality": [{"type": "custom", "engine": "soda", "implementation": "x"}]}, {}, "soda"),
        ({"quality": [{"metric": "nullValues", "mustBe": 0, "schedule": "0 1 * * *"}]}, {}, "schedule"),
        ({"logicalTypeOptions": {"format": "email"}}, {}, "format"),
        ({"logicalType": "map", "map": {"key": {}, "value": {}}}, {}, "map"),
        ({"logicalType": "object", "properties": [{"name": "x"}]}, {}, "inside"),
        ({"relationships": [{"to": ["a.b", "a.c"]}]}, {}, "foreign key"),
        ({"relationships": [{"to": "a.b"}, {"to": "a.c"}]}, {}, "foreign key"),
        ({}, {"relationships": [{"from": ["t.c", "t.d"], "to": ["u.c", "u.d"]}]}, "several columns"),
        ({"relationships": [{"to": "other.yaml#schema/u/properties/v"}]}, {}, "out of this file"),
        ({"customProperties": [{"property": "known_why", "value": "x"}]}, {}, "not used"),
    ],
)
def test_what_is_not_checked_is_said(
    tmp_path: Path, properties: dict[str, Any], table: dict[str, Any], words: str
) -> None:
    _, findings = made(tmp_path, [{"name": "c", "logicalType": "string", **properties}], table)
    assert {(f.code, f.severity) for f in findings} == {("PO-P074", "warning")}
    assert any(words in f.what for f in findings)


def test_a_rule_in_words_and_a_service_level(tmp_path: Path) -> None:
    _, findings = made(
        tmp_path,
        [{"name": "c", "quality": [{"type": "text", "description": "looks good"}]}],
        slaProperties=[{"property": "availability", "value": 99}],
    )
    assert [(f.code, f.severity) for f in findings] == [("PO-P074", "note"), ("PO-P074", "warning")]


@pytest.mark.parametrize(
    ("properties", "code", "words"),
    [
        ({"logicalType": "strin"}, "PO-P073", "nearest: string"),
        ({"requird": True}, "PO-P073", "nearest: required"),
        ({"required": "yes"}, "PO-P073", "boolean"),
        ({"logicalTypeOptions": {"minLenght": 5}}, "PO-P073", "nearest: minLength"),
        ({"quality": [{"metric": "nullValues"}]}, "PO-P073", "mustBe"),
        ({"quality": [{"metric": "nullValues", "mustBe": 0, "mustNotBe": 1}]}, "PO-P073", "mustBe"),
        ({"quality": [{"type": "library", "rule": "nullCheck", "mustBe": 0}]}, "PO-P073", "old name"),
        ({"quality": [{"metric": "nulValues", "mustBe": 0}]}, "PO-P073", "nearest: nullValues"),
        ({"quality": [{"type": "sql", "mustBe": 0}]}, "PO-P073", "query"),
        ({"quality": [{"metric": "nullValues", "mustBe": "none"}]}, "PO-P075", "number"),
        ({"quality": [{"metric": "rowCount", "mustBe": "x"}]}, "PO-P075", "number"),
        ({"quality": [{"metric": "invalidValues", "mustBe": 0}]}, "PO-P075", "validValues"),
        ({"quality": [{"type": "sql", "query": "select 1 +", "mustBe": 0}]}, "PO-P080", "one number"),
        ({"quality": [{"type": "sql", "query": "select 1 from other", "mustBe": 0}]}, "PO-P080", "one number"),
        ({"logicalTypeOptions": {"pattern": "("}}, "PO-P075", "regular expression"),
        ({"logicalType": "integer", "logicalTypeOptions": {"minimum": 5, "maximum": 1}}, "PO-P075", "maximum"),
        ({"customProperties": [{"property": "known", "value": "later"}]}, "PO-P075", "before or after"),
        ({"customProperties": [{"property": "currency", "value": "€"}]}, "PO-P075", "EUR"),
        (
            {"quality": [{"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": [True, False]}}]},
            "PO-P075",
            "quotes",
        ),
    ],
)
def test_a_mistake(tmp_path: Path, properties: dict[str, Any], code: str, words: str) -> None:
    data = {"schema": [{"name": "t", "properties": [{"name": "c", "logicalType": "string", **properties}]}]}
    _, findings = read(tmp_path, HEAD + yaml.safe_dump(data, sort_keys=False))
    assert [f.code for f in findings if f.severity == "error"] == [code], findings
    assert words in findings[0].expected
    assert findings[0].where is not None
    assert findings[0].where.line >= 8


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("", "PO-P070", 1),
        ("a: [1", "PO-P070", 1),
        ("a: 1\nb: 2\na: 3\n", "PO-P071", 3),
        ("? [a]\n: 1\n", "PO-P070", 1),
        ("a: &a [*a]\n", "PO-P072", 1),
        ("- just\n- a list\n", "PO-P073", 1),
        (HEAD + "schema: []\n", "PO-P075", 6),
        (HEAD.replace("v3.1.0", "v2.2.2"), "PO-P073", 1),
        (HEAD.replace("version: 1.2.3\n", ""), "PO-P073", 1),
        (HEAD.replace("1.2.3", "1.2"), "PO-P073", 4),
        (HEAD + "schema:\n- name: t\n  properties: []\n- name: t\n", "PO-P076", 9),
        (HEAD + "schema:\n- name: t\n  properties: [{name: a}, {name: a}]\n", "PO-P076", 8),
        ("!!python/object/apply:os.system ['true']\n", "PO-P070", 1),
    ],
)
def test_a_file_that_is_no_contract(tmp_path: Path, text: str, code: str, line: int) -> None:
    _, findings = read(tmp_path, text)
    assert [(f.code, f.where and f.where.line) for f in findings] == [(code, line)]


def test_a_flood_of_aliases(tmp_path: Path) -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    _, findings = read(tmp_path, text)
    assert [f.code for f in findings] == ["PO-P072"]
    _, findings = read(tmp_path, "[" * 100_000)
    assert [f.code for f in findings] == ["PO-P072"]


def test_aliases_may_be_used(tmp_path: Path) -> None:
    (found,), findings = read(
        tmp_path, HEAD + "schema:\n- name: t\n  properties:\n  - &c {name: a, required: true}\n  - {<<: *c, name: b}\n"
    )
    assert findings == []
    assert [(c.name, c.required) for c in found.columns] == [("a", True), ("b", True)]


def test_the_digest_is_of_what_is_promised(tmp_path: Path) -> None:
    text = HEAD + "schema:\n- name: t\n  properties:\n  - name: a\n    required: true\n"
    digest = read(tmp_path, text)[0][0].digest
    assert (
        read(tmp_path, "# words\n\n" + text.replace("required: true", "required:   true # so"))[0][0].digest == digest
    )
    assert read(tmp_path, text.replace("true", "false"))[0][0].digest != digest


plain = st.recursive(
    st.one_of(st.integers(), st.booleans(), st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), plain, min_size=1, max_size=4))
def test_data_and_lines_of_yaml(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("y")
    text = yaml.safe_dump(data, default_flow_style=False, sort_keys=False, allow_unicode=True)
    (folder / "f.yaml").write_text(text, encoding="utf-8")
    document = marks.read(Reading(folder), "f.yaml")
    assert document is not None
    assert document.data == data
    lines = text.split("\n")
    for key in data:
        assert lines[document.line((key,)) - 1].startswith((key, "'" + key, '"' + key))
