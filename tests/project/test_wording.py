"""The charter read as its owner would."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payoff.project import inspect
from payoff.project.aloud.wording import paragraph
from payoff.project.aloud.words import PLAIN
from payoff.records.charter import Charter

STARTER = Path(inspect.__code__.co_filename).parents[1] / "templates" / "starter"
STATEMENT = "Keep more paying subscribers: bring monthly churn from 12 % to 10 % by June 2027."


def remarks(folder: Path, old: str = "", new: str = "", words: str = "") -> list[tuple[str, str, int]]:
    """Codes, words and lines of what is remarked on a charter with one change."""
    for name in ("payoff.toml", "charter.toml", "pipeline.py", "pyproject.toml"):
        (folder / name).write_text((STARTER / name).read_text())
    (folder / "sql").mkdir(exist_ok=True)
    (folder / "sql/examples.sql").write_text((STARTER / "sql/examples.sql").read_text())
    text = (folder / "charter.toml").read_text()
    assert old in text
    (folder / "charter.toml").write_text(text.replace(old, new, 1))
    if words:
        (folder / "words.toml").write_text(words)
    _, findings = inspect(folder)
    return [(f.code, f.what, f.where.line if f.where else 0) for f in findings if f.code.startswith("PO-C03")]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (STATEMENT, "Keep more subscribers by June 2027.", "no quantity"),
        (STATEMENT, "Bring churn down to 10 % by June 2027.", "one figure only"),
        (STATEMENT, "Bring monthly churn from 12 % to 12 % by June 2027.", "goal is today's value"),
        (STATEMENT, "Bring monthly churn from 12 % to 10 %.", "no date"),
        ('owner = "Head of Retention"', 'owner = "TODO"', "nobody"),
        ("cancels within 30 days", "churned", "not said what the outcome"),
        ("this month?", "this month", "no question"),
        (', says = "offer to whoever called support more than 3 times"', "", "callers is not said in plain words"),
    ],
)
def test_what_an_owner_would_ask_is_remarked(tmp_path: Path, old: str, new: str, what: str) -> None:
    (found,) = remarks(tmp_path, old, new)
    assert found[0] == "PO-C030"
    assert what in found[1]
    assert found[2] > 0


@pytest.mark.parametrize(
    "statement",
    [
        STATEMENT,
        "Sell 3,000 instead of 2,500 policies a month by 2027-03-31.",
        "Cut waste from 1.2 million to 900,000 EUR a year until Q4 2027.",
        "Raise the share of calls answered from 71 % to 80 % by the end of 2027.",
        "Von 4.8 % auf 4.0 % by H1 2027.",
    ],
)
def test_a_good_objective_is_left_alone(tmp_path: Path, statement: str) -> None:
    assert remarks(tmp_path, STATEMENT, statement) == []


def test_technical_terms_are_remarked_with_other_words(tmp_path: Path) -> None:
    found = remarks(tmp_path, "Which subscribers get", "Which subscribers does the classifier's churn score and AUC say get")
    assert {(code, what.split('"')[1]) for code, what, _ in found} == {("PO-C031", w) for w in ("classifier", "score", "AUC")}
    assert all(line > 0 for *_, line in found)


def test_a_term_that_is_explained_is_left_alone(tmp_path: Path) -> None:
    assert remarks(tmp_path, "Which subscribers get", "Which subscribers with a score (their chance to leave) above half get") == []


def test_a_project_has_words_of_its_own(tmp_path: Path) -> None:
    own = '[words]\n"retention offer" = "reduced price"\nscore = ""\n'
    found = remarks(tmp_path, "Which subscribers get", "Which subscribers get, by score,", own)
    assert [what for _, what, _ in found] == ['decision.question says "retention offer", which an owner need not know']


@given(st.sampled_from(sorted(PLAIN)))
def test_no_word_is_said_with_another_that_must_not_be_said(term: str) -> None:
    said = PLAIN[term].split()
    assert term not in said
    assert not [word for word in said if word in PLAIN and word not in ("", "model")]


def test_the_project_in_plain_words(tmp_path: Path) -> None:
    remarks(tmp_path)
    text = paragraph(charter_of(tmp_path))
    charter = tomllib.loads((tmp_path / "charter.toml").read_text())
    for part in (charter["objective"]["statement"], charter["objective"]["owner"], charter["decision"]["question"], "60,000", "1,000 EUR"):
        assert part in text
    assert not [term for term in PLAIN if f" {term} " in text.lower() and term != "ai"]


def charter_of(folder: Path) -> Charter:
    project, _ = inspect(folder)
    assert project is not None
    return project.charter
