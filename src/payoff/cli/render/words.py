"""What a run says, in sentences that the terminal and the report share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from payoff.base.money import plain
from payoff.base.text import count
from payoff.cli.render.amounts import amount, grain, percent

if TYPE_CHECKING:
    from payoff.records.charter import Charter, CommonSolution
    from payoff.records.evidence import CheckResult, Interval, StepOutcome, Valuation
    from payoff.records.finding import Finding
    from payoff.records.run import RunRecord

MODEL, PERFECT = "model", "perfect"
_YEARS, _NEVER = 24, 240  # months from which on years are said, and from which on nobody waits


_FLAT, _OFF, _ERRORS = 0.75, 0.1, 3.0  # see calibration


class Rung(NamedTuple):
    """One row of the ladder: `kind` is `common`, `model` or `perfect`; `says` is what it does, in words."""

    name: str
    kind: str
    says: str
    year: Interval


class Delivery(NamedTuple):
    """A table that went to a sink: how it ended, and what is there now."""

    sink: str
    table: str
    to: str
    state: str
    rows: int | None
    identity: str
    seconds: float
    because: tuple[str, ...]


def deliveries(record: RunRecord) -> list[Delivery]:
    """What was written where; what was there already is `unchanged`."""
    found = []
    for stage in record.stages:
        if not stage.name.startswith("write:"):
            continue
        there = stage.extra
        state = {"ran": "written", "reused": "unchanged"}.get(stage.state, stage.state)
        if there.get("already"):
            state = "unchanged"
        found.append(
            Delivery(
                sink=stage.name.partition(":")[2],
                table=there.get("table", ""),
                to=there.get("to", ""),
                state=state,
                rows=there.get("rows"),
                identity=there.get("identity", ""),
                seconds=stage.seconds,
                because=stage.because,
            )
        )
    return found


def status(record: RunRecord) -> str:
    """How a run ended, in a word: one in which nothing was judged has made something, and passed nothing."""
    return "made" if record.status == "passed" and record.valuation is None and not hidden(record) else record.status


def hidden(record: RunRecord) -> str:
    """What is said in the place of amounts that the reader may not see; nothing where there are none, or they may be seen."""
    return f"the amounts are not shown to {record.reader}" if "amounts of money" in record.withheld else ""


def left_out(record: RunRecord) -> str:
    """What a named reader does not see: each kind of thing once, with all that is of it."""
    about = "promises about "
    promises = [each.removeprefix(about) for each in record.withheld if each.startswith(about)]
    said = [each for each in record.withheld if not each.startswith(about)]
    said += [about + ", ".join(promises)] if promises else []
    return f"Not shown to {record.reader}, by the labels of what it is made of: {'; '.join(said)}." if said else ""


def headline(record: RunRecord) -> str:
    """The first line: an amount of money with its interval, or why there is none."""
    value = record.valuation
    if hidden(record):
        return f"{record.status.capitalize()}: {hidden(record)}"
    if value is None and record.status == "passed":
        return "Made, not judged: payoff run gives the verdict"
    if value is None:
        early = " before training" if any(check.severity == "error" for check in broken(record)) else ""
        return f"{f'Refused{early}' if record.status == 'refused' else 'Failed'}: {reason(record)}"
    gain, step = value.gain, grain(value.gain)
    more = "more than" if gain.mean >= 0 else "compared with"
    span = f"{amount(gain.low, step, sign=True)} … {amount(gain.high, step, sign=True)}"
    return (
        f"{amount(gain.mean, step, sign=True)} {value.currency} a year ({percent(value.confidence)} interval {span}) "
        f'{more} the best common solution "{gain.over}", net of running cost'
    )


def reason(record: RunRecord) -> str:
    """Why a run has no amount of money, in one line."""
    wrong = [check for check in broken(record) if check.severity == "error"]
    if record.status == "refused" and wrong:
        tables = ", ".join(dict.fromkeys(check.table for check in wrong))
        return f"{len(wrong):,} of {count(len(record.checks), 'promise')} about the data {_are(len(wrong))} broken ({tables})"
    if record.status == "refused":
        said = [verdict.reason for verdict in record.verdicts if not verdict.passed]
        return "; ".join(said) or (record.errors[0].what.partition("\n")[0] if record.errors else "a gate said no")
    if record.errors:
        return record.errors[0].what.partition("\n")[0]
    failed = failures(record)
    return f"step {failed[0].name} failed" if failed else "the run did not get to a verdict"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def calibration(record: RunRecord) -> str:
    """What is wrong with the model's chances, when they are far from what happened; nothing when they are near or unknown.

    Slope and mean of a logistic recalibration on the holdout (Cox 1958); far is a slope outside 0.75 to 1.33, or a mean off by
    a tenth and by more than three standard errors of the share that was seen.
    """
    figures = record.valuation.metrics if record.valuation else {}
    slope, off, rate = (figures.get(name) for name in ("calibration_slope", "calibration_in_the_large", "base_rate"))
    faults = []
    if slope is not None and not _FLAT < slope < 1 / _FLAT:
        way = "too extreme" if slope < 1 else "too timid"
        faults.append(f"{way} (slope {slope:.2f}, 1 is right)")
    rows = record.valuation.rows if record.valuation else 0
    if off is not None and rate and abs(off) > max(_OFF * rate, _ERRORS * math.sqrt(rate * (1 - rate) / max(rows, 1))):
        way = "high" if off > 0 else "low"
        faults.append(f"too {way} on average ({(rate + off) * 100:.1f} % for {rate * 100:.1f} %)")
    if not faults:
        return ""
    return (
        f"The model's chances are {' and '.join(faults)}: decisions by expected money are worse for it. Calibrate them in the model's own"
        " step, on train alone (scikit-learn: CalibratedClassifierCV)."
    )


def correction(record: RunRecord, *, whole: bool = False) -> str:
    """What was done about the model's chances; with `whole` also that nothing had to be done, or why nobody knows."""
    found = record.valuation.calibration if record.valuation else None
    if found is None:
        return ""
    rows = count(found.rows, "row")
    if found.applied and found.log_loss is not None and found.corrected_log_loss is not None:
        return (
            f"The model's chances were corrected: fitted without {rows} of train, it was off there (log loss {found.log_loss:.4f},"
            f" {found.corrected_log_loss:.4f} when corrected). The holdout had no part in it; decisions and money are with the corrected chances."
        )
    if not whole:
        return ""
    if found.reason:
        return f"Whether the model's chances need a correction could not be found out on train: {found.reason}."
    return (
        f"The model's chances need no correction: fitted without {rows} of train, they agreed with what happened there."
    )


def meaning(record: RunRecord) -> str:
    """What the amount means for the decision whether to use the model."""
    value = record.valuation
    if value is None:
        return ""
    gain, step = value.gain, grain(value.gain)
    promised = float(record.charter.accept.min_gain_per_year) if record.charter else 0.0
    least = f"{amount(promised)} {value.currency}"
    over = f'"{gain.over}"'
    if gain.high <= 0:
        return f"The model earns less than {over}. Keep doing that."
    if gain.low > 0 and gain.low >= promised:
        than = f"at least the promised {least} a year" if promised else f"more than what {over} brings"
        others = "; ".join(verdict.reason for verdict in record.verdicts if not verdict.passed)
        but = f" But the run was refused: {others}." if record.status == "refused" and others else ""
        return f"Even the low end of the interval is {than}.{but}"
    low = f"{amount(gain.low, step, sign=True)} {value.currency}"
    if gain.low > 0:
        less = f"the low end of the interval ({low}) is below the promised {least} a year"
        return f"The model beats {over}, but {less}: not proven to be worth it."
    maybe = f"the model may well earn less than {over}"
    return f"The low end of the interval ({low}) is not above zero: {maybe}. Not proven to be worth it."


def ladder(record: RunRecord) -> list[Rung]:
    """Every common solution in the charter's order, then the model, then perfect foresight."""
    value = record.valuation
    if value is None:
        return []
    said = {each.name: does(each) for each in record.charter.common_solutions} if record.charter else {}
    names = [name for name in said if name in value.per_year]
    names += [name for name in value.per_year if name not in (*names, MODEL, PERFECT)]
    rungs = [Rung(name, "common", said.get(name, ""), value.per_year[name]) for name in names]
    if MODEL in value.per_year:
        rungs.append(Rung(MODEL, "model", "what the model's predictions pay best", value.per_year[MODEL]))
    if PERFECT in value.per_year:
        rungs.append(Rung(PERFECT, "perfect", "knowing every outcome in advance: nobody can", value.per_year[PERFECT]))
    return rungs


def actions(charter: Charter) -> str:
    """What there is to choose from."""
    quantity = charter.quantity
    if quantity is None:
        return ", ".join(charter.actions)
    return (
        f"{plain(quantity.least)} to {plain(quantity.most)} {quantity.unit}".rstrip()
        + f", in steps of {plain(quantity.step)}"
    )


def does(solution: CommonSolution) -> str:
    """What a common solution does, in words."""
    return solution.says or (f"{solution.action} in every case" if solution.action else f"rule: {solution.sql}")


def running_cost(charter: Charter | None) -> float:
    """What the model costs to run a year, in the charter's currency."""
    return float(charter.costs.run_per_year) if charter else 0.0


def captured(value: Valuation) -> float | None:
    """Which share of what perfect foresight would add to the best common solution the model adds before its cost."""
    rungs = value.per_year
    if not {MODEL, PERFECT, value.best} <= rungs.keys():
        return None
    room = rungs[PERFECT].mean - rungs[value.best].mean
    return (rungs[MODEL].mean - rungs[value.best].mean) / room if room > 0 else None


def sum_up(record: RunRecord) -> str:
    """How the gain follows from the ladder, as a sum; empty when it does not to the digits shown."""
    value = record.valuation
    if value is None or not {MODEL, value.best} <= value.per_year.keys():
        return ""
    step, cost = grain(value.gain), running_cost(record.charter)
    model, best = (value.per_year[name].mean for name in (MODEL, value.best))
    if not abs(model - best - cost - value.gain.mean) <= 2 * step:  # nan included
        return ""
    less = f" - {amount(cost, step)} running cost" if cost else ""
    other = amount(best, step)
    return f"{amount(model, step)} - {f'({other})' if best < 0 else other}{less} = {amount(value.gain.mean, step, sign=True)}"


def payback(record: RunRecord) -> str:
    """How long until the building cost is earned back at the mean gain; empty when the gain may be nothing."""
    value, charter = record.valuation, record.charter
    if value is None or charter is None or value.gain.low <= 0 or charter.costs.build <= 0:
        return ""
    months = float(charter.costs.build) / value.gain.mean * 12
    if months > _NEVER:
        return "more than 20 years"
    return count(max(1, round(months)), "month") if months < _YEARS else f"{months / 12:.1f} years"


def looked(looks: int) -> str:
    """How often the holdout was looked at."""
    return {0: "not yet", 1: "once", 2: "twice"}.get(looks, f"{looks:,} times")


def failures(record: RunRecord) -> list[StepOutcome]:
    """The steps that failed."""
    return [step for step in record.steps if step.state == "failed"]


def broken(record: RunRecord) -> list[CheckResult]:
    """The promises that the data broke, errors first."""
    return sorted((check for check in record.checks if not check.passed), key=lambda check: check.severity != "error")


def errors(record: RunRecord) -> list[Finding]:
    """What ended the run, without what the broken promises say already."""
    told = {check.file for check in broken(record)} if record.status == "refused" else set()
    return [finding for finding in record.errors if finding.where is None or finding.where.file not in told]


def tally(record: RunRecord) -> str:
    """`3 ran, 7 reused`: how many steps ended in which state."""
    states = [step.state for step in record.steps]
    return ", ".join(
        f"{states.count(state)} {state}" for state in ("ran", "reused", "failed", "skipped") if state in states
    )


def commit(record: RunRecord) -> str:
    """The commit that ran, and whether files had changes that are not committed."""
    git = record.git
    if git is None or git.commit is None:
        return "no commit yet"
    return git.commit[:10] + (" with changes that are not committed" if git.dirty else "")
