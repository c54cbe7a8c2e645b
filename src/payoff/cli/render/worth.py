"""The screen of `payoff worth`: the money first, then how good a model must be, then what it hangs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.text import count
from payoff.cli.render.amounts import amount, figure, grain, percent, when
from payoff.cli.render.run import bar, cut, fold, table

if TYPE_CHECKING:
    from payoff.records.answers.worth import Assumption, Budget, Findings, Prospect, Quality, Segment, Worth
    from payoff.records.evidence import Interval

_MOST, _SEGMENTS = 8, 6


def text(answer: Worth) -> str:
    """The whole screen, plain Unicode without colour."""
    parts = [
        _head(answer),
        _ladder(answer),
        chosen(answer.prospect.quantities, answer.prospect.unit),
        _needs(answer.prospect),
        _quality(answer.prospect),
    ]
    if answer.findings is not None:
        parts += [_curve(answer), _segments(answer), _hangs(answer)]
    parts += [_budget(answer), _history(answer), _look(answer)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def headline(answer: Worth) -> str:
    """One line of money."""
    prospect, found = answer.prospect, answer.findings
    sure = percent(prospect.confidence)
    if found is not None:
        money = between(found.gain, prospect.currency, sure)
        return f'{money} more than the best common solution "{found.over}", net of running cost'
    return f'{between(prospect.ceiling, prospect.currency, sure)} is the most that any model could add to "{prospect.best}"'


def between(each: Interval, currency: str, sure: str) -> str:
    """`+15,600 EUR a year (95 % interval +10,300 … +20,700)`."""
    step = grain(each)
    mean, low, high = (amount(value, step, sign=True) for value in (each.mean, each.low, each.high))
    return f"{mean} {currency} a year ({sure} interval {low} … {high})"


def meaning(answer: Worth) -> str:
    """What follows from it, in a sentence or two."""
    prospect, found = answer.prospect, answer.findings
    money, asked = prospect.currency, amount(prospect.asked_per_year)
    if prospect.ceiling.high <= 0:
        return f'Do not build this. Who knew the future would earn no more than "{prospect.best}" does. Do what "{prospect.best}" says.'
    if not prospect.build:
        return (
            f"Do not build this. Even a model that knew the future could not be expected to bring the {asked} {money} a year that"
            f' it must bring above "{prospect.best}". Do what "{prospect.best}" says.'
        )
    if found is None:
        return f'{_needed(prospect)} It must bring {asked} {money} a year above "{prospect.best}" to pay.'
    return meaning_of(found, prospect)


def meaning_of(found: Findings, prospect: Prospect) -> str:
    """Whether the promise holds, and the two assumptions that this hangs on most."""
    held = "holds" if found.passed else "does not hold"
    asked = f"{amount(found.asked)} {prospect.currency} a year"
    return f"The promise of {asked} {held} at the low end of the interval{_two(found.assumptions)}."


def _two(assumptions: tuple[Assumption, ...]) -> str:
    nearest = [each for each in assumptions[:2] if each.change is not None]
    if not nearest:
        return "; no single assumption, moved up to tenfold, would change that"
    said = " and ".join(f"{each.name} ({flip(each)})" for each in nearest)
    return f"; what it hangs on most: {said}"


def _needed(prospect: Prospect) -> str:
    needed = prospect.break_even.needed
    if needed is None:
        return unreached(prospect)
    if needed.auc is None:
        if needed.error == prospect.break_even.curve[0].error:
            return "Deciding by these payoffs would pay even with a forecast that knows nothing."
        return f"A model pays when its forecasts are off by no more than {off_by(needed, prospect)}."
    if needed.auc <= 0.5 and prospect.asked_per_year <= 0:
        return "A model would cost nothing and nothing was promised: any that knows more than a coin adds something."
    if needed.auc <= 0.5:
        return "Deciding by these payoffs would pay even without any model."
    return f"A model pays when, shown one case of each outcome, it knows {needed.auc * 100:.0f} times of 100 which is which."


def unreached(prospect: Prospect) -> str:
    """What follows where none of the simulated models would pay."""
    if prospect.ceiling.mean < prospect.asked_per_year:
        return "Even a model that knew the future would probably not pay: only the high end of the interval reaches what it must bring."
    return "Only a nearly perfect model would pay."


def off_by(each: Quality, prospect: Prospect) -> str:
    """`4.2 loaves on average (13 % of the mean)`."""
    error = f"{figure(round_off(each.error or 0.0))} {prospect.unit}".rstrip()
    share = f" ({percent(each.error_share)} of the mean)" if each.error_share is not None else ""
    return f"{error} on average{share}"


def round_off(value: float) -> float:
    """Three digits say enough of an error.

    >>> round_off(12.3456), round_off(0.012345), round_off(12345.6)
    (12.3, 0.0123, 12300.0)
    """
    return float(f"{value:.3g}")


def _head(answer: Worth) -> list[str]:
    good = answer.exit_code == 0
    verdict = ("worth a try" if answer.findings is None else "worth it") if good else "not worth it"
    return [headline(answer), f"{'✓' if good else '✗'} {verdict}", fold(meaning(answer), "  ")]


def rungs(answer: Worth) -> list[tuple[str, Interval]]:
    """The ladder, its lowest rung first."""
    return sorted(answer.prospect.per_year.items(), key=lambda each: (each[0] == "perfect", each[1].mean))


def _ladder(answer: Worth) -> list[str]:
    prospect = answer.prospect
    ladder = rungs(answer)
    step = grain(prospect.ceiling)
    low = min(0.0, *(year.low for _, year in ladder))
    high = max(0.0, *(year.high for _, year in ladder))
    rows = [
        (
            cut(name, 18),
            amount(year.mean, step),
            f"{amount(year.low, step)} … {amount(year.high, step)}",
            bar(year, low, high),
        )
        for name, year in ladder
    ]
    title = f"{prospect.currency} a year without a model, and knowing the future   █ mean  ├─┤ {percent(prospect.confidence)} interval"
    wide = [max(len(row[column]) for row in rows) for column in range(3)]
    return (
        [title]
        + [
            f"  {name:<{wide[0]}}  {mean:>{wide[1]}}  {span:>{wide[2]}}  {picture}".rstrip()
            for name, mean, span, picture in rows
        ]
        + [f"  on {count(prospect.rows, 'decision')} of the past that are not held out"]
    )


def _needs(prospect: Prospect) -> list[str]:
    money = prospect.currency
    rows = [("running it", amount(prospect.run_per_year))]
    if prospect.promised >= prospect.build_cost / prospect.years:
        rows.append(("the promised gain", amount(prospect.promised)))
    else:
        rows.append((f"building it, over {prospect.years:g} years", amount(prospect.build_cost / prospect.years)))
    rows.append(("together", amount(prospect.asked_per_year)))
    wide = max(len(value) for _, value in rows)
    lines = [f"What a model must bring, {money} a year", *(f"  {value:>{wide}}  {name}" for name, value in rows)]
    if prospect.payback_years is not None and prospect.build_cost:
        back = f"  a perfect model would earn its {amount(prospect.build_cost)} {money} back in {years(prospect.payback_years)}"
        lines.append(back)
    return lines


def years(value: float) -> str:
    """A time in years or months.

    >>> years(0.14), years(2.5)
    ('2 months', '2.5 years')
    """
    if value < 1:
        return count(max(1, round(value * 12)), "month")
    return f"{value:.1f} years" if value < 100 else "more than 100 years"


def _quality(prospect: Prospect) -> list[str]:
    curve, needed = prospect.break_even.curve, prospect.break_even.needed
    if curve[0].auc is None:
        return _errors(prospect)
    both = {each.auc or 0.0: each for each in (*curve, *((needed,) if needed else ()))}
    rows = [both[auc] for auc in sorted(both)]
    binary = any(each.precision is not None for each in rows)
    head = ["", "AUC", f"{prospect.currency} a year more", "acts on"] + (["finds", "is right"] if binary else [])
    cells = [_row(each, mark="→" if each is needed else "", binary=binary) for each in rows]
    says = "acts on: share of decisions · finds: of the positive ones · is right: when it acts" if binary else ""
    return [f'How good must it be?   gain over "{prospect.best}" by how well a model ranks', *table(head, cells)] + (
        [f"  {says}"] if says else []
    )


def _errors(prospect: Prospect) -> list[str]:
    """The same for forecasts: by how far they are off."""
    curve, needed = prospect.break_even.curve, prospect.break_even.needed
    both = {each.error or 0.0: each for each in (*curve, *((needed,) if needed else ()))}
    cells = [
        [
            "→" if each is needed else "",
            figure(round_off(error)),
            "" if each.error_share is None else percent(each.error_share),
            amount(each.gain, 100.0 if abs(each.gain) >= 1000 else 1.0, sign=True),
        ]
        for error, each in sorted(both.items(), reverse=True)
    ]
    head = ["", f"off by, {prospect.unit}".rstrip(", "), "of the mean", f"{prospect.currency} a year more"]
    return [
        f'How good must it be?   gain over "{prospect.best}" by how far forecasts are off on average',
        *table(head, cells),
    ]


def chosen(quantities: dict[str, dict[str, float]], unit: str) -> list[str]:
    """What each alternative chooses, where the action is a quantity."""
    if not quantities:
        return []
    rows = [
        (cut(name, 18), figure(round(each["mean"], 2)), f"{figure(each['low'])} … {figure(each['high'])}")
        for name, each in quantities.items()
    ]
    return [f"What would be chosen{f', {unit}' if unit else ''}", *table(("", "mean", "eight of ten between"), rows)]


def _row(each: Quality, *, mark: str, binary: bool) -> list[str]:
    cells = [
        mark,
        f"{each.auc or 0.0:.2f}",
        amount(each.gain, 100.0 if abs(each.gain) >= 1000 else 1.0, sign=True),
        percent(each.acted),
    ]
    if binary:
        cells += ["" if value is None else percent(value) for value in (each.recall, each.precision)]
    return cells


def _curve(answer: Worth) -> list[str]:
    found, prospect = answer.findings, answer.prospect
    if found is None:
        return []
    step = grain(found.gain)
    rows = [
        (
            percent(each.share),
            amount(each.gain, step, sign=True),
            f"{amount(each.low, step, sign=True)} … {amount(each.high, step, sign=True)}",
        )
        for each in found.curve
    ]
    title = f'Following the model only where it is surest, "{found.over}" elsewhere (before running cost)'
    lines = [title, *table(("of decisions", f"{prospect.currency} a year more", "interval"), rows)]
    if found.captured is not None:
        share = found.captured
        lines.append(
            f"  all in all it reaches {percent(share.mean, decimals=0)} of what knowing the future would add"
            f" ({percent(share.low, decimals=0)} … {percent(share.high, decimals=0)})"
        )
    return lines


def _segments(answer: Worth) -> list[str]:
    found = answer.findings
    if found is None or not found.segments:
        return []
    losing = [each for each in found.segments if each.loses]
    shown = losing or [each for each in found.segments if each.gain.mean < 0][:_SEGMENTS]
    best = sorted(found.segments, key=lambda each: -each.gain.mean)[:_SEGMENTS]
    title = "Segments that surely lose money" if losing else "No segment surely loses money; the lowest"
    lines = [title, *_segment_rows(shown[:_MOST])] if shown else ["No segment loses money"]
    return [*lines, "Segments that carry the gain", *_segment_rows(best)]


def _segment_rows(segments: list[Segment]) -> list[str]:
    return table(
        ("", "", "decisions", "a year", "interval"),
        [
            (
                each.column,
                cut(each.value, 24),
                f"{each.rows:,}",
                amount(each.gain.mean, grain(each.gain), sign=True),
                f"{amount(each.gain.low, grain(each.gain), sign=True)} … {amount(each.gain.high, grain(each.gain), sign=True)}",
            )
            for each in segments
        ],
    )[1:]


def _hangs(answer: Worth) -> list[str]:
    found = answer.findings
    if found is None:
        return []
    step = grain(found.gain)
    rows = [
        (
            each.name,
            figure(each.value),
            flip(each),
            f"{amount(each.lower, step, sign=True)} … {amount(each.upper, step, sign=True)}",
        )
        for each in found.assumptions[:_MOST]
    ]
    return [
        "What the verdict hangs on",
        *table(("assumption", "now", "the verdict flips", "gain when a fifth less … more"), rows),
    ]


def flip(each: Assumption) -> str:
    """Where the verdict flips."""
    if each.change is None or each.flips_at is None:
        return "nowhere between 0 and 10 times"
    more = "more" if each.change > 0 else "less"
    return f"at {figure(each.flips_at)}, {percent(abs(each.change), decimals=0)} {more}"


def _budget(answer: Worth) -> list[str]:
    budget = answer.budget
    lines = [changed(), looked(budget)] if answer.charter_changed else [looked(budget)]
    if budget.left is not None:
        lines.append(f"{count(max(0, budget.left), 'look')} left until the charter's kill rule asks for a decision.")
    if budget.stopped:
        lines.append(budget.stopped)
    return [fold(line, "") for line in lines]


def changed() -> str:
    """That a run is told by a charter which is no longer the charter."""
    return "The charter has been changed since this run: all of this is by the charter of then. Only payoff run judges by the one of now."


def looked(budget: Budget) -> str:
    """How often the holdout was looked at, and what that makes of the next interval."""
    if not budget.looks:
        return "The holdout has not been looked at."
    wide = f"The next look has an interval {budget.widening:.2f} times as wide as the first."
    return f"The holdout has been looked at {count(budget.looks, 'time')}. {wide}"


def _history(answer: Worth) -> list[str]:
    if not answer.history:
        return []
    rows = [
        (
            each.run,
            when(each.started),
            each.status,
            amount(each.promised),
            amount(each.gain.mean, grain(each.gain), sign=True),
            f"{amount(each.gain.low, grain(each.gain), sign=True)} … {amount(each.gain.high, grain(each.gain), sign=True)}",
            each.charter,
        )
        for each in answer.history
    ]
    return ["Promise and results", *table(("run", "when", "verdict", "promised", "found", "interval", "charter"), rows)]


def _look(answer: Worth) -> list[str]:
    return ["Look further", f"  page    {answer.page}"] if answer.page else []
