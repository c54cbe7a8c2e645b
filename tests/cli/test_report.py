"""The HTML report."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from payoff.cli.render.html import report
from payoff.records.evidence import Gain, Interval
from payoff.records.answers.request import RunAnswer
from payoff.records.run import RunRecord

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Tags, attributes and texts of a page; open tags must close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts).replace("\u00a0", " "))


def test_the_page_is_whole_and_loads_nothing(answer: RunAnswer) -> None:
    html = report(answer.record, answer)
    page = Page(html)
    assert page.open == []
    assert not {"script", "link", "iframe", "object", "img"} & set(page.tags)
    assert not [
        each for each in page.attributes if each[1] in {"src", "href", "style", "action"} or each[1].startswith("on")
    ]
    assert "url(" not in html
    assert "@import" not in html


def test_the_policy_allows_this_style_and_nothing_else(answer: RunAnswer) -> None:
    html = report(answer.record, answer)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = next(
        value
        for tag, name, value in Page(html).attributes
        if tag == "meta" and "default-src" in value and name == "content"
    )
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_the_headline_is_the_amount_in_plain_words(records: dict[str, RunRecord]) -> None:
    text = Page(report(records["passed"])).text
    assert "+41,300 EUR a year" in text
    assert "Between +12,000 and +70,400, with 95 % confidence" in text
    assert (
        "how much more the model is expected to bring than the best you can do without one: “rule” (call whoever"
        in text
    )
    assert "after its running cost of 12,000 EUR a year" in text
    assert "142,300 − 89,000 − 12,000 running cost = +41,300 EUR" in text
    assert "come back in about 12 months" in text


def test_a_loss_is_called_less(records: dict[str, RunRecord]) -> None:
    text = Page(report(records["worthless"])).text
    assert "−2,310,000 EUR a year" in text
    assert "how much less the model" in text
    assert "come back" not in text


def test_the_ladder_is_a_table_with_a_picture_in_each_row(records: dict[str, RunRecord]) -> None:
    page = Page(report(records["passed"]))
    labels = [value for tag, name, value in page.attributes if tag == "svg" and name == "aria-label"]
    assert [label.partition(":")[0] for label in labels] == [
        "The model against rule",
        "nobody",
        "everyone",
        "rule",
        "model",
        "perfect",
    ]
    assert "the promised minimum is 10,000" in labels[0]
    for part in ("51,200", "42,100 to 60,900", "171,400"):
        assert part in page.text


def test_the_picture_stays_within_its_frame(answer: RunAnswer) -> None:
    html = report(answer.record, answer)
    places = [float(place) for place in re.findall(r'(?:x|x1|x2|cx|width)="(-?[\d.]+)%"', html)]
    assert all(0 <= place <= 100 for place in places)
    assert places or answer.record.valuation is None


def test_verdicts_come_with_what_to_do(records: dict[str, RunRecord]) -> None:
    text = Page(report(records["refused"])).text
    assert "The model earns more than the best common solution · Refused PO-G002" in text
    assert "The gain over “rule” may be as low as −9,310 EUR" in text
    assert "What to do: about 41,000 holdout rows" in text


def test_what_was_used_is_named(records: dict[str, RunRecord]) -> None:
    text = Page(report(records["passed"])).text
    for part in (
        "✓ all 3 kept",
        "c0ffee12c0ff",
        "9f3c1e7a5b with changes",
        "Python 3.11.7, 5 packages",
        "max_iter = 200",
        "looked at 3 times",
        "98.33 %",
    ):
        assert part in text, part


def test_runs_without_money_say_why(records: dict[str, RunRecord]) -> None:
    text = Page(report(records["broken_contract"])).text
    assert "No amount: the data broke 2 promises (in contacts), so no model was trained." in text
    assert "12 of 37,931 rows" in text
    failed = Page(report(records["failed"])).text
    assert "No amount: step model raised ValueError." in failed
    assert "ValueError: bad shape" in failed


def test_hostile_text_stays_text(answer: RunAnswer) -> None:
    record = answer.record
    terms = record.charter
    assert terms
    decision = replace(
        terms.decision, question=HOSTILE, outcome=replace(terms.decision.outcome, means=HOSTILE, name=HOSTILE)
    )
    terms = replace(
        terms, currency=HOSTILE, file=HOSTILE, decision=decision,
        objective=type(terms.objective)(HOSTILE, HOSTILE),
        cells=tuple(replace(cell, action=HOSTILE, outcome=HOSTILE, sql=HOSTILE, amount=None) for cell in terms.cells),
        common_solutions=tuple(replace(each, name=HOSTILE, says=HOSTILE) for each in terms.common_solutions),
    )  # fmt: skip
    value = record.valuation and replace(
        record.valuation, currency=HOSTILE, method=HOSTILE, best=HOSTILE,
        per_year={**record.valuation.per_year, HOSTILE: Interval(1.0, 0.0, 2.0)},
        shares={HOSTILE: {HOSTILE: 0.5}}, metrics={HOSTILE: 1.0}, exact={HOSTILE: HOSTILE},
        gain=replace(record.valuation.gain, over=HOSTILE),
    )  # fmt: skip
    hostile = replace(
        record, run=HOSTILE, name=HOSTILE, finished=HOSTILE, version=HOSTILE, charter=terms, valuation=value,
        git=record.git and replace(record.git, commit=HOSTILE, branch=HOSTILE),
        environments=tuple(replace(each, name=HOSTILE, python=HOSTILE, digest=HOSTILE, packages={"numpy": HOSTILE}) for each in record.environments),
        system={"x": HOSTILE}, parameters={HOSTILE: {HOSTILE: HOSTILE}}, metrics={HOSTILE: 1.0},
        tables={HOSTILE: replace(table, id=HOSTILE) for table in record.tables.values()},
        checks=tuple(replace(each, table=HOSTILE, check=HOSTILE, column=HOSTILE, reason=HOSTILE, sample=(HOSTILE,), file=HOSTILE) for each in record.checks),
        verdicts=tuple(replace(each, gate=HOSTILE, title=HOSTILE, reason=HOSTILE, remedy=HOSTILE, code=HOSTILE) for each in record.verdicts),
        errors=tuple(replace(each, what=HOSTILE, expected=HOSTILE, try_=HOSTILE) for each in record.errors),
        steps=tuple(
            replace(each, name=HOSTILE, because=(HOSTILE,), failure=each.failure and replace(each.failure, trace=HOSTILE, message=HOSTILE))
            for each in record.steps
        ),
    )  # fmt: skip
    page = Page(report(hostile, replace(answer, look=HOSTILE)))
    assert page.open == []
    assert not {"script", "img"} & set(page.tags)
    assert not [each for each in page.attributes if each[1].startswith("on")]
    assert "<script>alert(1)</script>" in page.text


@pytest.mark.parametrize("bounds", [(0.0, 0.0, 0.0), (float("nan"), 0.0, 1.0), (1e-7, -1e-7, 2e-7), (3e14, 1e14, 9e14)])
def test_odd_amounts_do_not_break_the_page(records: dict[str, RunRecord], bounds: tuple[float, float, float]) -> None:
    record = records["passed"]
    assert record.valuation
    year = dict.fromkeys(record.valuation.per_year, Interval(*bounds))
    mean, low, high = bounds
    value = replace(
        record.valuation, per_year=year, gain=Gain(over="rule", mean=mean, low=low, high=high, confidence=0.95)
    )
    html = report(replace(record, valuation=value))
    assert Page(html).open == []
    assert "nan%" not in html
