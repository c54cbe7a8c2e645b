"""TOML files are held against one specification: types, missing and unknown keys, ranges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payoff.project import charter_keys as charter
from payoff.project import config, spec
from payoff.project.files import Reading
from payoff.project.toml import Document

if TYPE_CHECKING:
    from payoff.project.spec import Section
    from payoff.records.finding import Finding

KEYS = [(name, each) for name, section in charter.SPEC.keys.items() for each in getattr(section, "keys", {})]


def check(section: Section, text: str) -> list[Finding]:
    """What is wrong with a text."""
    reading = Reading(Path())
    spec.check(section, Document("f.toml", text), reading)
    return reading.findings


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KEYS), st.integers(0, 3), st.data())
def test_a_misspelt_key_is_met_with_the_right_one(key: tuple[str, str], how: int, data: st.DataObject) -> None:
    section, name = key
    at = data.draw(st.integers(0, len(name) - 1))
    wrong = [
        name[:at] + "x" + name[at + 1 :],
        name[:at] + name[at + 1 :],
        name + "s",
        name[:at] + name[at] * 2 + name[at + 1 :],
    ][how]
    known = charter.SPEC.keys[section].keys  # type: ignore[union-attr]
    if not wrong or wrong in known or len(name) < 4 or section == "payoff":
        return
    findings = [f for f in check(charter.SPEC, f"\n[{section}]\n{wrong} = 1\n") if f.code == "PO-P006"]
    assert [f.where.line for f in findings if f.where] == [3]
    assert f"nearest: {name}" in findings[0].expected
    assert all(each in findings[0].expected for each in known)


@pytest.mark.parametrize(
    ("text", "code", "line", "expected"),
    [
        ("[decision]\nper_year = 0", "PO-P009", 2, "greater than 0"),
        ("[decision]\nper_year = 1.5", "PO-P008", 2, "whole number"),
        ("[decision]\nper_year = true", "PO-P008", 2, "whole number"),
        ("[split]\nholdout = 1", "PO-P009", 2, "between 0 and 1"),
        ("[split]\nholdout = nan", "PO-P009", 2, "finite"),
        ("[split]\nby = 'random'", "PO-P009", 2, "group, hash, time"),
        ("[split]\nfrom = 'tomorrow'", "PO-P009", 2, "2026-06-01"),
        ("[split]\nfrom = 5", "PO-P008", 2, "2026-06-01"),
        ("[accept]\nconfidence = 0.5", "PO-P009", 2, "between 0.5 and 1"),
        ("[accept]\nconfidence = 95", "PO-P009", 2, "between 0.5 and 1"),
        ("[objective]\nstatement = ' '", "PO-P009", 2, "some text"),
        ("objective = 3", "PO-P008", 1, "[objective]"),
        ("[payoff]\ncurrency = 'euro'", "PO-P009", 2, "EUR"),
        ("[payoff]\ncurrency = 'EUR'\noffer.x = true", "PO-P008", 3, "a number"),
        ("[costs]\nbuild = -1", "PO-P009", 2, "0 or more"),
        ("[stop]\nafter_runs = 0", "PO-P009", 2, "1 or more"),
    ],
)
def test_what_a_charter_may_say(text: str, code: str, line: int, expected: str) -> None:
    findings = [f for f in check(charter.SPEC, text) if f.code != "PO-P007"]
    assert [(f.code, f.where and f.where.line) for f in findings] == [(code, line)]
    assert expected in findings[0].expected


def test_every_missing_key_is_named() -> None:
    findings = check(charter.SPEC, "[objective]\nowner = 'x'\n")
    assert {f.code for f in findings} == {"PO-P007"}
    missing = {f.what.split()[0] for f in findings}
    assert missing == {"objective.statement", "decision", "payoff", "common_solutions", "split"}


def test_text_without_a_value_and_secrets_stay_out_of_messages() -> None:
    findings = check(config.SPEC, "[project]\nname = 5\n[tracking]\nuri = 7\n[run]\nworkers = 'hunter2'")
    assert len(findings) == 3
    assert not any("hunter2" in str(f) for f in findings)


values: st.SearchStrategy[Any] = st.one_of(
    st.integers(-2, 3),
    st.booleans(),
    st.sampled_from(["", "x", "hash", "EUR", "4GB", "2026-01-01"]),
    st.lists(st.just("a"), max_size=1),
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["objective", "decision", "split", "model", "costs", "accept", "stop", "bogus"]),
    st.dictionaries(st.sampled_from(sorted({key for _, key in KEYS} | {"bogus"})), values, max_size=5),
)
def test_the_schema_and_the_check_agree(section: str, content: dict[str, Any]) -> None:
    """What the check accepts, the schema for editors accepts, and the other way round (dates and blanks apart)."""
    table = {section: content}
    document = Document("f.toml", "")
    document.table = table
    reading = Reading(Path())
    spec.check(charter.SPEC, document, reading)
    ours = {(f.code, f.what) for f in reading.findings}
    schema = spec.json_schema(charter.SPEC, "charter.toml")
    theirs = list(jsonschema.Draft7Validator(schema).iter_errors(table))
    if "from" not in content:
        assert bool(ours) == bool(theirs), (ours, theirs)
