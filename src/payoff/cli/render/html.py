"""The report for the owner: one self-contained HTML page, readable on a phone, in print and without a network.

Every text of the project (names, statements, tracebacks) is escaped; a content security policy lets nothing load and
no script run.
"""

from __future__ import annotations

import functools
import re
from html import escape
from typing import TYPE_CHECKING

from payoff.base.text import count
from payoff.cli.render import appendix, picture, words
from payoff.cli.render.amounts import amount, duration, figure, grain, when
from payoff.cli.render.amounts import percent as spaced
from payoff.cli.render.page import page

if TYPE_CHECKING:
    from collections.abc import Callable

    from payoff.records.answers.request import RunAnswer
    from payoff.records.evidence import Interval, Valuation
    from payoff.records.run import RunRecord

_BADGES = {"made": "Made, not judged", "passed": "✓ Passed", "refused": "✗ Refused", "failed": "✗ Failed"}


def report(record: RunRecord, answer: RunAnswer | None = None) -> str:
    """The whole page."""
    body = "\n".join(
        part
        for part in (
            _hero(record),
            _failure(record),
            _broken(record),
            _question(record),
            _gap(record),
            _ladder(record),
            _verdicts(record),
            _left_out(record),
            _shares(record),
            _groups(record),
            appendix.used(record),
            appendix.steps(record),
            appendix.measured(record),
            appendix.charter(record),
        )
        if part
    )
    return page(
        name=record.name,
        title=words.headline(record),
        when=when(record.finished),
        about=f"run {record.run}",
        body=body,
        footer=_footer(record, answer),
        version=record.version,
    )


def percent(share: float, *, decimals: int = 1) -> str:
    """A percentage that no line breaks."""
    return spaced(share, decimals=decimals).replace(" %", "\u00a0%")


def typeset(text: str) -> str:
    """A sentence of ours as HTML: curly quotes, real minus signs before numbers."""
    return re.sub(r"(^|[\s(])-(?=[\d ])", "\\1\N{MINUS SIGN}", re.sub(r'"([^"]*)"', r"“\1”", escape(text, quote=False)))


def sentence(text: str) -> str:
    """A text that begins with a capital."""
    return text[:1].upper() + text[1:]


def money(value: float, step: float, *, sign: bool = False) -> str:
    """An amount as HTML."""
    return escape(amount(value, step, sign=sign)).replace("-", "\N{MINUS SIGN}")


def _hero(record: RunRecord) -> str:
    head = (
        f'<div class="head"><h1>What is the model worth?</h1><p class="badge">{_BADGES[words.status(record)]}</p></div>'
    )
    value = record.valuation
    if value is None:
        return f"""<section class="hero {record.status}">
{head}
<p class="plain">No amount: {escape(words.hidden(record) or _no_amount(record))}</p>
<p>{escape("" if words.hidden(record) else _what_now(record))}</p>
</section>"""
    gain, step = value.gain, grain(value.gain)
    low, high = money(gain.low, step, sign=True), money(gain.high, step, sign=True)
    cost = words.running_cost(record.charter)
    net = f", after its running cost of {amount(cost)} {value.currency} a year" if cost else ""
    solution = next((rung for rung in words.ladder(record) if rung.name == gain.over), None)
    said = f" ({solution.says})" if solution and solution.says and solution.says != gain.over else ""
    more = "more" if gain.mean >= 0 else "less"
    payback = words.payback(record)
    earned = (
        f"<p>At that gain, the {_build(record)} it costs to build come back in about {escape(payback)}.</p>"
        if payback
        else ""
    )
    return f"""<section class="hero {record.status}">
{head}
<p class="amount">{money(gain.mean, step, sign=True)} <span>{escape(value.currency)} a year</span></p>
<p class="between">Between {low} and {high}, with {percent(value.confidence)} confidence</p>
<p>That is how much {more} the model is expected to bring than the best you can do without one:
“{escape(gain.over)}”{escape(said)}{escape(net)}.</p>
<p class="means">{typeset(words.meaning(record))}</p>
{earned}
</section>"""


def _build(record: RunRecord) -> str:
    charter = record.charter
    return f"{amount(float(charter.costs.build))} {escape(charter.currency)}" if charter else ""


def _no_amount(record: RunRecord) -> str:
    broken = [check for check in words.broken(record) if check.severity == "error"]
    if record.status == "refused" and broken:
        tables = sorted({check.table for check in broken})
        return f"the data broke {count(len(broken), 'promise')} (in {', '.join(tables)}), so no model was trained."
    return words.reason(record).rstrip(".") + "."


def _what_now(record: RunRecord) -> str:
    if record.status == "refused":
        return (
            "A model trained on data that is not what it was promised to be would be worth an unknown amount. "
            "Mend the data or the promise, then run again."
        )
    return (
        "The run stopped before the model was judged. Nothing that finished is lost: the next run goes on from there."
    )


def _question(record: RunRecord) -> str:
    charter = record.charter
    if charter is None:
        return ""
    decision = charter.decision
    facts = [
        ("Objective", charter.objective.statement),
        ("Owner", charter.objective.owner),
        (f"“{decision.outcome.name}” means", decision.outcome.means),
        ("Possible actions", words.actions(charter)),
        ("Decisions a year", f"{decision.per_year:,}"),
    ]
    return f"""<section>
<h2>The question</h2>
<blockquote>{escape(decision.question)}</blockquote>
{appendix.facts(facts)}
</section>"""


def _gap(record: RunRecord) -> str:
    value = record.valuation
    if value is None:
        return ""
    promised = float(record.charter.accept.min_gain_per_year) if record.charter else 0.0
    net = "Net of the model's running cost. " if words.running_cost(record.charter) else ""
    least = f"the promised minimum of {amount(promised)} {value.currency}" if promised else "zero"
    rule = f"The model passes when the whole interval lies to the right of {least}."
    dot = f"The dot is the best estimate, the band the {percent(value.confidence)} interval."
    return f"""<section>
<h2>The model against “{escape(value.gain.over)}”</h2>
<figure class="figure">{picture.gap(value.gain, promised, value.currency)}
<figcaption class="soft">{escape(value.currency)} a year. {escape(net)}{dot} {escape(rule)}</figcaption></figure>
</section>"""


def _ladder(record: RunRecord) -> str:
    value, rungs = record.valuation, words.ladder(record)
    if value is None or not rungs:
        return ""
    on, step = picture.rung_scale(rungs), grain(value.gain)
    rows = "\n".join(
        f'<tr class="{rung.kind}" role="row">'
        f'<th scope="row" role="rowheader">{escape(rung.name)}{_small(rung.says)}</th>'
        f'<td class="picture" role="cell">{picture.rung(rung, on, value.currency)}</td>'
        f'<td class="number" role="cell">{money(rung.year.mean, step)}{_span(rung.year, step)}</td></tr>'
        for rung in rungs
    )
    cost = words.running_cost(record.charter)
    before = (
        f" These amounts are before the model's running cost of {amount(cost)} {value.currency} a year." if cost else ""
    )
    sums = words.sum_up(record)
    added = f" The gain: {typeset(sums)} {escape(value.currency)}." if sums else ""
    share = words.captured(value)
    caught = (
        f" The model captures {percent(share, decimals=0)} of what knowing the future would add to “{value.best}”."
        if share is not None and share > 0
        else ""
    )
    return f"""<section>
<h2>The money ladder</h2>
<table class="ladder" role="table">
<thead><tr role="row">
<th scope="col" role="columnheader">What you could do</th><th scope="col" role="columnheader"></th>
<th scope="col" role="columnheader" class="number">{escape(value.currency)} a year</th>
</tr></thead>
<tbody>
{rows}
</tbody>
<tfoot aria-hidden="true"><tr><th></th><td class="picture">{picture.axis(on)}</td><td class="number"></td></tr></tfoot>
</table>
<p class="soft">The thin line is the {percent(value.confidence)} interval.{escape(before)}{added}{escape(caught)}</p>
</section>"""


def _span(year: Interval, step: float) -> str:
    return f"<small>{money(year.low, step)} to {money(year.high, step)}</small>" if year.high > year.low else ""


def _small(text: str) -> str:
    return f"<small>{escape(text)}</small>" if text else ""


def _left_out(record: RunRecord) -> str:
    said = words.left_out(record)
    return f'<section><p class="soft">{typeset(said)}</p></section>' if said else ""


def _verdicts(record: RunRecord) -> str:
    if not record.verdicts:
        return ""
    items = []
    for verdict in record.verdicts:
        sign, word, kind = ("✓", "Passed", "yes") if verdict.passed else ("✗", "Refused", "no")
        todo = (
            f'<p class="todo">What to do: {typeset(verdict.remedy)}</p>'
            if verdict.remedy and not verdict.passed
            else ""
        )
        code = f' <span class="soft">{escape(verdict.code)}</span>' if verdict.code and not verdict.passed else ""
        items.append(
            f'<li class="{kind}"><span class="sign" aria-hidden="true">{sign}</span><div>'
            f'<strong>{escape(sentence(verdict.title or verdict.gate))}</strong> <span class="word">· {word}</span>{code}'
            f"<p>{typeset(sentence(verdict.reason))}</p>{todo}</div></li>"
        )
    return f"""<section>
<h2>Verdicts</h2>
<ul class="verdicts">
{chr(10).join(items)}
</ul>
{_calibration(record)}
</section>"""


def _calibration(record: RunRecord) -> str:
    said = [("soft", words.correction(record, whole=True)), ("todo", words.calibration(record))]
    return "".join(f'<p class="{kind}">{typeset(text)}</p>' for kind, text in said if text)


def _shares(record: RunRecord) -> str:
    value = record.valuation
    if value is not None and value.quantities:
        return _quantities(record, value)
    if value is None or not value.shares:
        return ""
    names = [rung.name for rung in words.ladder(record) if rung.name in value.shares]
    actions = list(record.charter.actions) if record.charter else []
    actions += sorted({action for shares in value.shares.values() for action in shares} - set(actions))
    head = "".join(f'<th scope="col">{escape(action)}</th>' for action in actions)
    rows = "\n".join(
        f'<tr class="{name if name == words.MODEL else ""}"><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{picture.share(value.shares[name].get(action, 0.0))}</td>" for action in actions)
        + "</tr>"
        for name in names
    )
    return f"""<section>
<h2>What would be decided</h2>
<p class="soft">The share of decisions that go to each action, on {count(value.rows, "case")} the model had never seen.</p>
<div class="wide"><table class="shares"><thead><tr><th scope="col"></th>{head}</tr></thead>
<tbody>
{rows}
</tbody></table></div>
</section>"""


def _quantities(record: RunRecord, value: Valuation) -> str:
    unit = record.charter.quantity.unit if record.charter and record.charter.quantity else ""
    names = [rung.name for rung in words.ladder(record) if rung.name in value.quantities]
    rows = [
        (name, figure(round(each["mean"], 2)), f"{figure(each['low'])} to {figure(each['high'])}")
        for name in names
        for each in (value.quantities[name],)
    ]
    return f"""<section>
<h2>What would be decided</h2>
{appendix.grid(("", f"{unit} on average".strip(), "Eight of ten decisions between"), rows)}
<p class="soft">On {count(value.rows, "case")} the model had never seen.</p>
</section>"""


def _groups(record: RunRecord) -> str:
    value = record.valuation
    if value is None or not value.groups:
        return ""
    rows = [
        (
            f"{each.column}: {each.value}",
            f"{each.rows:,}",
            _with_bounds(each.gain, functools.partial(_gained, grain(each.gain))),
            _with_bounds(each.wrong, percent),
            "" if each.missed is None else percent(each.missed),
            "" if each.false_alarms is None else percent(each.false_alarms),
        )
        for each in value.groups
    ]
    outcome = record.charter.decision.outcome.name if record.charter else "the outcome"
    wrong = (
        ("Too little", "", "Too much") if value.quantities else ("Turned out wrong", f"of “{outcome}”", "of all others")
    )
    head = ("Group", "Decisions", f"Gain, {value.currency} a year", *wrong)
    meant = (
        "Too little or too much: another quantity would have brought more."
        if value.quantities
        else "Wrong: another action would have brought more."
    )
    return f"""<section>
<h2>Groups that the charter names</h2>
{appendix.grid(head, rows)}
<p class="soft">Gain: more than “{escape(value.gain.over)}”, before running cost. {meant} All {3 * len(value.groups)} intervals (of gains, shares and their differences) hold
together, so that each is wider than it would be alone.</p>
</section>"""


def _gained(step: float, value: float) -> str:
    return amount(value, step, sign=True)


def _with_bounds(each: Interval, said: Callable[[float], str]) -> str:
    return f"{said(each.mean)} ({said(each.low)} to {said(each.high)})"


def _broken(record: RunRecord) -> str:
    broken = words.broken(record)
    if not broken:
        return ""
    rows = [
        (
            f"{check.table}.{check.column}" if check.column else check.table,
            check.check + ("" if check.severity == "error" else f" ({check.severity} only)"),
            f"{check.failed:,} of {check.rows:,} rows" if check.column else check.reason,
            ", ".join(check.sample[:5]) or "none",
            f"{check.file}:{check.line}" if check.file else "",
        )
        for check in broken[:50]
    ]
    return f"""<section>
<h2>Promises the data broke</h2>
{appendix.grid(("Where", "Promise", "Broken by", "Some of these rows (ids)", "Promised in"), rows)}
</section>"""


def _failure(record: RunRecord) -> str:
    parts = [f"<pre>{escape(str(finding.as_error()))}</pre>" for finding in words.errors(record)]
    parts += [
        f"<h3>Step {escape(step.name)}</h3><pre>{escape(step.failure.trace.rstrip())}</pre>"
        for step in words.failures(record)
        if step.failure and step.failure.trace
    ]
    return f"<section>\n<h2>What went wrong</h2>\n{''.join(parts)}\n</section>" if parts else ""


def _footer(record: RunRecord, answer: RunAnswer | None) -> str:
    # A reader who is named has this page, and neither our tracker nor business with the paths of this machine.
    look = f" · <code>{escape(answer.look)}</code>" if answer and answer.look and not record.reader else ""
    made = f"Made by Payoff {escape(record.version)} in {duration(record.seconds)}."
    again = f"Everything on this page is in the run's record: <code>payoff show {escape(record.run)}</code>"
    return f"<footer>{made} {again}{look}</footer>"
