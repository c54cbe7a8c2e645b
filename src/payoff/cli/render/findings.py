"""The screens of `payoff check`, `payoff runs`, `payoff ingest` and `payoff init`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.text import count
from payoff.cli.render.amounts import amount, duration, grain, when
from payoff.cli.render.run import cut, fold, table
from payoff.records.evidence import Gain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payoff.records.answers.request import InitAnswer
    from payoff.records.finding import Finding
    from payoff.records.run import Summary
    from payoff.records.stream import Ingested


def check(findings: Sequence[Finding], plain: str = "") -> str:
    """All findings, grouped by file in the order of their lines, four lines each; then the project in plain words."""
    said = f"\nIn plain words\n{fold(plain, '  ')}\n" if plain else ""
    if not findings:
        return f"✓ nothing to mend\n  Try: payoff run\n{said}"
    files: dict[str, list[Finding]] = {}
    for finding in findings:
        files.setdefault(finding.where.file if finding.where else "", []).append(finding)
    wrong = sum(finding.severity == "error" for finding in findings)
    others = len(findings) - wrong
    parts = [count(wrong, "error") + (f", {count(others, 'remark')}" if others else "")]
    for file in sorted(files):
        parts.append(file or "(the whole project)")
        parts += [
            _finding(finding) for finding in sorted(files[file], key=lambda each: each.where.line if each.where else 0)
        ]
    return "\n\n".join(parts) + f"\n{said}"


def _finding(finding: Finding) -> str:
    sign = "✗ " if finding.severity == "error" else f"{finding.severity}: "
    where = finding.where
    place = (f"{where.file}:{where.line}" if where.line else where.file) if where else "the whole project"
    lines = [
        f"{sign}{finding.code}: {finding.what}",
        f"    where: {place}",
        f"    expected: {finding.expected or '(see the code in the documentation)'}",
        f"    Try: {finding.try_}",
    ]
    return "\n".join(f"  {line}" for line in lines)


def ingest(answer: Sequence[Ingested]) -> str:
    """One line per stream: what landed now, how its table stands."""
    head = ("table", "landed", "set aside", "batches", "took", "rows now", "set aside in all", "losses accepted")
    rows = [
        (
            each.table,
            f"{each.landed:,}",
            f"{each.set_aside:,}",
            f"{each.batches:,}",
            duration(each.seconds),
            f"{each.state.rows:,}",
            f"{each.state.set_aside:,}",
            f"{len(each.state.lost):,}",
        )
        for each in answer
    ]
    return "\n".join(line[2:] for line in table(head, rows)) + "\n"


def runs(summaries: Sequence[Summary]) -> str:
    """One line per run, newest first."""
    if not summaries:
        return "no run yet\n  Try: payoff run\n"
    head = ("run", "", "gain a year over the best common solution", "started", "took", "commit", "why")
    rows = [
        (
            each.run,
            f"{'✓' if each.status == 'passed' else '✗'} {'made' if _made(each) else each.status}",
            _gain(each),
            when(each.started),
            duration(each.seconds) if each.status != "unfinished" else "",
            (each.commit or "")[:8] + ("+" if each.dirty else ""),
            cut(each.reason, 60),
        )
        for each in summaries
    ]
    return "\n".join(line[2:] for line in table(head, rows)) + "\n"


def _made(summary: Summary) -> bool:
    """A run in which nothing was judged."""
    return summary.status == "passed" and summary.gain is None


def _gain(summary: Summary) -> str:
    if not summary.gain:
        return ""
    gain = Gain(**{"over": "", "confidence": 0.0, **summary.gain})
    step = grain(gain)
    low, high = (amount(value, step, sign=True) for value in (gain.low, gain.high))
    return f"{amount(gain.mean, step, sign=True)} {summary.currency} ({low} … {high})"


def init(answer: InitAnswer) -> str:
    """What was made, and what to type next."""
    lines = [
        f"✓ made the project {answer.directory} (template {answer.template}, commit {answer.commit[:8]})",
        *(f"    {file}" for file in answer.files),
        "",
        "Next:",
        *(f"  {command}" for command in answer.next),
    ]
    return "\n".join(lines) + "\n"
