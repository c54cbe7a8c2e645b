"""The page of `payoff worth` for the owner: pictures first, plain words."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from payoff import __version__
from payoff.base.text import count
from payoff.cli.render import appendix, charts, picture, worth
from payoff.cli.render.amounts import amount, figure, grain, percent, when
from payoff.cli.render.html import money, typeset
from payoff.cli.render.page import page
from payoff.cli.render.words import Rung

if TYPE_CHECKING:
    from payoff.records.answers.worth import Findings, Prospect, Segment, Worth
    from payoff.records.evidence import Interval

_MOST = 10
_SIGNS = {True: ("passed", "✓ Worth a try"), False: ("refused", "✗ Do not build this")}
_RUN_SIGNS = {True: ("passed", "✓ Worth it"), False: ("refused", "✗ Not worth it")}


def text(answer: Worth, moment: str) -> str:
    """The whole page."""
    prospect, found = answer.prospect, answer.findings
    parts = [_hero(answer), _question(answer)]
    if found is not None:
        parts += [_earned(prospect, found), _ladder(answer), _curve(prospect, found), _hangs(prospect, found)]
        parts += [_segments(prospect, found), _quality(prospect)]
    else:
        parts += [_ceiling(prospect), _ladder(answer), _quality(prospect)]
    parts += [_history(answer), _holdout(answer), _how(prospect)]
    return page(
        name=answer.project,
        title=worth.headline(answer),
        when=when(moment),
        about=f"run {found.run}" if found else "before any model",
        body="\n".join(part for part in parts if part),
        footer=f"<footer>Made by Payoff {escape(__version__)}: <code>payoff worth{f' {escape(found.run)}' if found else ''}</code></footer>",
        version=__version__,
    )


def _hero(answer: Worth) -> str:
    prospect, found = answer.prospect, answer.findings
    kind, badge = (_SIGNS if found is None else _RUN_SIGNS)[answer.exit_code == 0]
    shown: Interval = prospect.ceiling if found is None else found.gain
    step = grain(shown)
    title = "What could a model be worth?" if found is None else "What is the model worth, and what does that hang on?"
    says = (
        f"That is the most that any model could add to the best you can do without one: “{escape(prospect.best)}”{_says(answer)}. It is what "
        "knowing the future would bring, before any cost."
        if found is None
        else f"That is what the model brings more than the best you can do without one, “{escape(found.over)}”{_says(answer)}, after its running cost."
    )
    since = f'\n<p class="soft">{worth.changed()}</p>' if answer.charter_changed else ""
    return f"""<section class="hero {kind}">
<div class="head"><h1>{title}</h1><p class="badge">{badge}</p></div>
<p class="amount">{money(shown.mean, step, sign=True)} <span>{escape(prospect.currency)} a year</span></p>
<p class="between">Between {money(shown.low, step, sign=True)} and {money(shown.high, step, sign=True)}, with {percent(prospect.confidence)} confidence</p>
<p>{says}</p>
<p class="means">{typeset(worth.meaning(answer))}</p>{since}
</section>"""


def _says(answer: Worth) -> str:
    best = answer.findings.over if answer.findings else answer.prospect.best
    said = answer.says.get(best, "")
    return f" ({escape(said)})" if said and said != best else ""


def _question(answer: Worth) -> str:
    rates = ", ".join(f"{name}: {percent(rate)}" for name, rate in answer.prospect.base_rates.items())
    facts = [
        ("Objective", answer.objective),
        ("Owner", answer.owner),
        ("Decisions a year", f"{answer.decisions_per_year:,}"),
        ("What happened in the past", rates),
    ]
    return f"""<section>
<h2>The question</h2>
<blockquote>{escape(answer.question)}</blockquote>
{appendix.facts(facts)}
</section>"""


def _ceiling(prospect: Prospect) -> str:
    step = grain(prospect.ceiling)
    ceiling, run = prospect.ceiling.mean, prospect.run_per_year
    yearly = prospect.build_cost / prospect.years
    rows = [charts.Bar("Knowing the future would add", 0.0, ceiling, "total", money(ceiling, step, sign=True))]
    left = ceiling
    for name, cost in (("Running the model", run), (f"Building it, over {prospect.years:g} years", yearly)):
        if cost:
            rows.append(charts.Bar(name, left, left - cost, "cost", money(-cost, 1.0, sign=True)))
            left -= cost
    rows.append(
        charts.Bar("Left, at the very most", 0.0, left, "gain" if left > 0 else "cost", money(left, step, sign=True))
    )
    back = (
        f"<p>If it reached all of that, the {amount(prospect.build_cost)} {escape(prospect.currency)} for building it would be back in"
        f" {worth.years(prospect.payback_years)}.</p>"
        if prospect.payback_years is not None and prospect.build_cost
        else ""
    )
    return f"""<section>
<h2>Is there enough money in it?</h2>
{charts.bars(rows, heads=("", f"{prospect.currency} a year"))}
<p>No model reaches all of it. To pay, one must bring {amount(prospect.asked_per_year)} {escape(prospect.currency)} a year more than
“{escape(prospect.best)}”: {_asked(prospect)}.</p>
{back}
</section>"""


def _asked(prospect: Prospect) -> str:
    yearly = prospect.build_cost / prospect.years
    parts = [f"{amount(prospect.run_per_year)} for running it"]
    if prospect.promised >= yearly:
        parts.append(f"{amount(prospect.promised)} that the charter promises")
    else:
        parts.append(f"{amount(yearly)} for building it")
    return " and ".join(parts)


def _earned(prospect: Prospect, found: Findings) -> str:
    """From what doing the common thing brings to what the model adds."""
    step, run = grain(found.gain), prospect.run_per_year
    before = found.gain.mean + run
    rows = [
        charts.Bar(
            f"The model's decisions against “{found.over}”",
            0.0,
            before,
            "gain" if before >= 0 else "cost",
            money(before, step, sign=True),
        )
    ]
    if run:
        rows.append(charts.Bar("Running the model", before, before - run, "cost", money(-run, 1.0, sign=True)))
    rows.append(charts.Bar("The gain", 0.0, found.gain.mean, "total", money(found.gain.mean, step, sign=True)))
    lines = [(found.asked, "promised")] if found.asked else []
    reached = (
        f"<p>It reaches {percent(found.captured.mean, decimals=0)} of what knowing the future would add (between"
        f" {percent(found.captured.low, decimals=0)} and {percent(found.captured.high, decimals=0)}).</p>"
        if found.captured
        else ""
    )
    back = (
        f"<p>At that gain, the {amount(prospect.build_cost)} {escape(prospect.currency)} for building it are back in {worth.years(found.payback_years)}.</p>"
        if found.payback_years is not None and prospect.build_cost
        else ""
    )
    red = (
        f'<p class="soft">The red line is the promised {amount(found.asked)} {escape(prospect.currency)} a year.</p>'
        if lines
        else ""
    )
    return f"""<section>
<h2>From decisions to the gain</h2>
{charts.bars(rows, heads=("", f"{prospect.currency} a year"), lines=lines)}
{red}{reached}{back}
</section>"""


def _ladder(answer: Worth) -> str:
    prospect = answer.prospect
    rungs = [
        Rung(
            name,
            "perfect" if name == "perfect" else "common",
            answer.says.get(name, "knowing the future" if name == "perfect" else ""),
            year,
        )
        for name, year in worth.rungs(answer)
    ]
    on, step = picture.rung_scale(rungs), grain(prospect.ceiling)
    rows = "\n".join(
        f'<tr class="{rung.kind}" role="row"><th scope="row" role="rowheader">{escape(rung.name)}'
        + (f"<small>{escape(rung.says)}</small>" if rung.says else "")
        + f'</th><td class="picture" role="cell">{picture.rung(rung, on, prospect.currency)}</td>'
        f'<td class="number" role="cell">{money(rung.year.mean, step)}'
        f"<small>{money(rung.year.low, step)} to {money(rung.year.high, step)}</small></td></tr>"
        for rung in rungs
    )
    return f"""<section>
<h2>Without a model</h2>
<table class="ladder" role="table">
<thead><tr role="row"><th scope="col" role="columnheader">What you could do</th><th scope="col" role="columnheader"></th>
<th scope="col" role="columnheader" class="number">{escape(prospect.currency)} a year</th></tr></thead>
<tbody>
{rows}
</tbody>
<tfoot aria-hidden="true"><tr><th></th><td class="picture">{picture.axis(on)}</td><td class="number"></td></tr></tfoot>
</table>
<p class="soft">Counted on {count(prospect.rows, "decision")} of the past that are not held out. The thin line is the {percent(prospect.confidence)} interval.</p>
</section>"""


def _quality(prospect: Prospect) -> str:
    even = prospect.break_even
    if even.curve[0].auc is None:
        return _errors(prospect)
    dots = [charts.Dot(each.auc or 0.0, each.gain) for each in even.curve]
    needed = even.needed
    at = charts.Dot(needed.auc or 0.0, needed.gain) if needed else None
    marks = [(0.5, "a coin: 50"), (0.6, "60"), (0.7, "70"), (0.8, "80"), (0.9, "90"), (0.99, "99")]
    money_ = escape(prospect.currency)
    level = (even.asked_per_year, f"what it must bring: {amount(even.asked_per_year)}")
    pairs = "Show the model one case of each outcome: how often, of 100 times, does it know which is which?"
    said = typeset(_point(prospect))
    rows = [
        (
            f"{(each.auc or 0.0) * 100:.0f} of 100",
            amount(each.gain, 100.0, sign=True),
            percent(each.acted),
            *(("" if value is None else percent(value)) for value in (each.recall, each.precision)),
        )
        for each in even.curve
    ]
    head = (
        "Knows which is which",
        f"{prospect.currency} a year more",
        "Acts on",
        "Finds of the positive",
        "Is right when it acts",
    )
    return f"""<section>
<h2>How good must a model be?</h2>
<p>{pairs}</p>
<figure class="figure">{charts.line(dots, label="Gain by quality of the model", marks=marks, level=level, at=at)}
<figcaption class="soft">{money_} a year more than “{escape(prospect.best)}”, before running cost, by how often of 100 the model knows.</figcaption></figure>
<p class="after">{said}</p>
<details><summary>The figures</summary>
{appendix.grid(head, rows)}
</details>
</section>"""


def _errors(prospect: Prospect) -> str:
    """How good forecasts must be: the same picture over how far they are off, the best on the right."""
    even, unit = prospect.break_even, prospect.unit
    dots = [charts.Dot(-(each.error or 0.0), each.gain) for each in even.curve]
    needed = even.needed
    at = charts.Dot(-(needed.error or 0.0), needed.gain) if needed else None
    shown = [even.curve[0], even.curve[len(even.curve) // 2], even.curve[-1]]
    marks = [(-(each.error or 0.0), figure(worth.round_off(each.error or 0.0))) for each in shown]
    level = (even.asked_per_year, f"what it must bring: {amount(even.asked_per_year)}")
    rows = [
        (
            figure(worth.round_off(each.error or 0.0)),
            "" if each.error_share is None else percent(each.error_share),
            amount(each.gain, 100.0, sign=True),
        )
        for each in even.curve
    ]
    head = (f"Off by, {unit}" if unit else "Off by", "Of the mean", f"{prospect.currency} a year more")
    return f"""<section>
<h2>How good must a model be?</h2>
<p>By how much may its forecasts be off, on average? On the left a forecast that knows nothing, on the right one that is nearly right.</p>
<figure class="figure">{charts.line(dots, label="Gain by error of the forecasts", marks=marks, level=level, at=at)}
<figcaption class="soft">{escape(prospect.currency)} a year more than “{escape(prospect.best)}”, before running cost, by how far forecasts are off on average{f" ({escape(unit)})" if unit else ""}.</figcaption></figure>
<p class="after">{typeset(_point(prospect))}</p>
<details><summary>The figures</summary>
{appendix.grid(head, rows)}
</details>
</section>"""


def _point(prospect: Prospect) -> str:
    needed = prospect.break_even.needed
    if needed is None:
        return worth.unreached(prospect) if prospect.build else "Not even a nearly perfect model would pay."
    if needed.auc is None:
        return f"It pays when its forecasts are off by no more than {worth.off_by(needed, prospect)}."
    said = f"It pays from {needed.auc * 100:.0f} of 100 on (specialists call this an AUC of {needed.auc:.2f})."
    if needed.precision is not None and needed.recall is not None:
        said += (
            f" Such a model would act on {percent(needed.acted)} of the cases, be right in {percent(needed.precision)} of those,"
            f" and find {percent(needed.recall)} of the cases that matter."
        )
    return said


def _curve(prospect: Prospect, found: Findings) -> str:
    dots = [
        charts.Dot(0.0, 0.0, 0.0, 0.0),
        *(charts.Dot(each.share, each.gain, each.low, each.high) for each in found.curve),
    ]
    last = found.curve[-1].share
    marks = [(0.0, "0 %"), (last / 2, percent(last / 2)), (last, percent(last))]
    return f"""<section>
<h2>How many decisions carry the gain?</h2>
<p>The model is followed only where it expects the most from its own way; everywhere else “{escape(found.over)}” decides.</p>
<figure class="figure">{charts.line(dots, label="Gain by share of decisions", marks=marks, level=None)}
<figcaption class="soft">{escape(prospect.currency)} a year more than “{escape(found.over)}”, before running cost, by the share of decisions in which the model is
followed. In all others both decide alike. The band is the interval of each point. Read it, do not choose by it: the best point of a picture looks better than it is.</figcaption></figure>
</section>"""


def _hangs(prospect: Prospect, found: Findings) -> str:
    step = grain(found.gain)
    shown = sorted(found.assumptions[:_MOST], key=lambda each: -abs(each.upper - each.lower))
    rows = [
        charts.Bar(
            each.name,
            each.lower,
            each.upper,
            "span",
            f"{money(each.lower, step, sign=True)} to {money(each.upper, step, sign=True)}",
            f"now {figure(each.value)}; the verdict flips {worth.flip(each)}",
        )
        for each in shown
    ]
    lines = [(found.gain.mean, "now"), *(((found.asked, "promised"),) if found.asked else ())]
    return f"""<section>
<h2>What does the verdict hang on?</h2>
<p>{typeset(worth.meaning_of(found, prospect))}</p>
{charts.bars(rows, heads=("Assumption", f"{prospect.currency} a year when a fifth less or more"), lines=lines)}
<p class="soft">The black line is the gain now, the red one what was promised. Each number is moved alone; decisions are taken anew.</p>
</section>"""


def _segments(prospect: Prospect, found: Findings) -> str:
    if not found.segments:
        return ""
    losing = [each for each in found.segments if each.loses]
    best = sorted(found.segments, key=lambda each: -each.gain.mean)[:_MOST]
    lost = (
        f"<h3>Groups that surely lose money</h3>{_grid(prospect, losing[:_MOST])}"
        if losing
        else "<p>No group of customers surely loses money.</p>"
    )
    low = [each for each in found.segments if not each.loses and each.gain.mean < 0][:_MOST]
    maybe = f"<h3>Groups with less than nothing, which may be chance</h3>{_grid(prospect, low)}" if low else ""
    return f"""<section>
<h2>Which customers carry the gain?</h2>
{lost}{maybe}
<h3>Groups that carry the gain</h3>
{_grid(prospect, best)}
<p class="soft">Before running cost. The intervals of all {len(found.segments)} groups looked at hold together at {percent(prospect.confidence)} confidence, so that
each is wider than it would be alone.</p>
</section>"""


def _grid(prospect: Prospect, segments: list[Segment]) -> str:
    rows = [
        (
            f"{each.column}: {each.value}",
            f"{each.rows:,}",
            amount(each.gain.mean, grain(each.gain), sign=True),
            f"{amount(each.gain.low, grain(each.gain), sign=True)} to {amount(each.gain.high, grain(each.gain), sign=True)}",
        )
        for each in segments
    ]
    return appendix.grid(("Group", "Decisions held out", f"{prospect.currency} a year", "Between"), rows)


def _history(answer: Worth) -> str:
    if not answer.history:
        return ""
    rows = [
        (
            each.run,
            when(each.started),
            each.status,
            amount(each.promised),
            amount(each.gain.mean, grain(each.gain), sign=True),
            f"{amount(each.gain.low, grain(each.gain), sign=True)} to {amount(each.gain.high, grain(each.gain), sign=True)}",
            each.charter,
        )
        for each in answer.history
    ]
    return f"""<section>
<h2>Promise and results</h2>
{appendix.grid(("Run", "When", "Verdict", "Promised", "Found", "Between", "Charter"), rows)}
</section>"""


def _holdout(answer: Worth) -> str:
    budget = answer.budget
    left = (
        f" {count(max(0, budget.left), 'look')} left until the kill rule asks for a decision."
        if budget.left is not None
        else ""
    )
    stopped = f'<p class="todo">{typeset(budget.stopped)}</p>' if budget.stopped else ""
    return f"""<section>
<h2>The holdout is a budget</h2>
<p>Some decisions of the past are kept from every model, to judge it by. Each look at them makes luck more likely, so each look must be surer.
{worth.looked(budget)}{left}</p>
{stopped}
</section>"""


def _simulated(prospect: Prospect) -> str:
    if prospect.break_even.curve[0].auc is None:
        return "a forecast with noise that is right on average (a Gaussian copula with the outcome)"
    return "a score with normal noise whose probabilities are right on average"


def _how(prospect: Prospect) -> str:
    return f"""<details><summary>How this was computed</summary>
<p>Intervals: {escape(prospect.method)}. Quality: {_simulated(prospect)}; it is assumed to know as much about
cases with large amounts as about others. The docstrings of <code>payoff.value</code> give formulas and sources.</p>
</details>"""
