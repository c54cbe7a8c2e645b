"""The screens of `payoff environments`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payoff.base.text import count
from payoff.cli.render import findings
from payoff.cli.render.amounts import when
from payoff.cli.render.run import table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from payoff.records.answers.environments import Checks, Collected, Listed, Listing, Locked

_LINES = 12  # changes of a lock that are shown
_LOCKS = {
    "current": "current",
    "stale": "does not match pyproject.toml",
    "missing": "not there",
    "unfit": "cannot be used",
    "unknown": "not known without a network",
}
_INSTALLED = {
    "whole": "as locked",
    "absent": "not yet",
    "changed": "not as locked",
    "unknown": "not known",
}


def text(question: str, answer: Any) -> str:
    """The screen of an answer."""
    screens: dict[str, Callable[[Any], str]] = {"list": ls, "check": check, "lock": lock, "collect": collect}
    return screens[question](answer).rstrip("\n") + "\n"


def ls(answer: Listing) -> str:
    """A line for each environment that is installed."""
    lacking = f"not installed yet, the next run does it: {', '.join(answer.lacking)}" if answer.lacking else ""
    if not answer.environments:
        return "\n".join(each for each in ("no environment is installed", lacking) if each)
    head = f"{count(len(answer.environments), 'environment')}, {size(answer.bytes)} on the disk together"
    rows = [
        (
            each.kept.digest[:12],
            belongs(each),
            each.kept.python,
            f"{each.kept.packages}" if each.kept.packages is not None else "",
            size(each.kept.bytes),
            when(each.kept.used),
            _state(each),
        )
        for each in answer.environments
    ]
    shown = "\n".join(table(("lock", "of", "python", "packages", "size", "used last", ""), rows))
    return f"{head}\n\n{shown}" + (f"\n\n{lacking}" if lacking else "")


def belongs(each: Listed) -> str:
    """What has an environment's lock, in words."""
    if each.environments:
        return f"the project: {', '.join(each.environments)}"
    if each.run is not None:
        return f"run {each.run}" + (f" and {each.runs - 1} more" if each.runs > 1 else "")
    return "a hybrid of two runs" if each.hybrid else f"no run that is known ({each.kept.name or 'unnamed'})"


def _state(each: Listed) -> str:
    if not each.kept.whole:
        return "being installed" if each.kept.in_use else "half: its installation was interrupted"
    return "in use" if each.kept.in_use else ""


def check(answer: Checks) -> str:
    """A line for each environment of the project, then what is wrong."""
    rows = [(each.name, each.folder, _LOCKS[each.lock], _INSTALLED[each.installed]) for each in answer.environments]
    shown = "\n".join(table(("environment", "folder", "lock", "installed"), rows))
    wrong = any(each.severity == "error" for each in answer.findings)
    head = "something is to be mended" if wrong else "✓ nothing to mend"
    return f"{head}\n\n{shown}" + (f"\n\n{findings.check(answer.findings)}" if answer.findings else "")


def lock(answer: Sequence[Locked]) -> str:
    """What changed in each lock."""
    parts = []
    for each in answer:
        file = "uv.lock" if each.folder == "." else f"{each.folder}/uv.lock"
        changed = f"{count(len(each.changes), 'change')}" if each.changes else "nothing changed"
        lines = [f"{file}: {count(each.packages, 'package')}, {changed} ({', '.join(each.environments)})"]
        lines += [
            f"  {one.package} {one.before or 'was not there'} → {one.after or 'not there any more'}"
            for one in each.changes[:_LINES]
        ]
        if len(each.changes) > _LINES:
            lines.append(f"  and {len(each.changes) - _LINES} more")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def collect(answer: Collected) -> str:
    """What went, and why."""
    would = "" if answer.done else "would be "
    rows = [
        (each.kept.digest[:12], belongs(each), size(each.kept.bytes), why)
        for each, why in zip(answer.removed, answer.because, strict=True)
    ]
    head = f"{count(len(rows), 'environment')} {would}removed; the others take {size(answer.bytes)}"
    lines = [head if rows else f"nothing {would or 'was '}removed; all together take {size(answer.bytes)}"]
    if rows:
        lines += ["", *table(("lock", "of", "size", "because"), rows)]
    if answer.held:
        lines += ["", f"in use, so that they stay: {', '.join(each[:12] for each in answer.held)}"]
    if answer.mixes:
        lines += ["", f"{count(answer.mixes, 'old lock')} between runs {would}removed, too"]
    return "\n".join(lines)


def size(number: int) -> str:
    """Bytes in words.

    >>> size(1_234_567), size(0)
    ('1.2 MB', '0 B')
    """
    amount = float(number)
    for unit in ("B", "KB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
