"""`payoff diff --markdown`: what a pull request does to the money, as a comment that people read where they review."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from payoff.cli.render.comparing import diff as words
from payoff.cli.render.comparing.why import money

if TYPE_CHECKING:
    from payoff.records.answers.diff import Diff

MARK = "<!-- payoff -->"  # by which the next comment finds the one to replace
_LONGEST = 60_000  # characters; GitHub takes 65,536, GitLab a million


def comment(answer: Diff) -> str:
    """Money in the title, what refuses under it, everything else folded away. Markdown as GitHub and GitLab have it."""
    parts = [MARK, f"## {_title(answer)}"]
    if said := words.changed(answer):
        parts.append(_plain(said))
    parts += [f"**{_plain(each.title or each.gate)}** refuses: {_plain(each.reason)}" for each in answer.refused]
    parts.append(_table(answer))
    rest = _fence(words.text(answer))
    parts.append(f"<details><summary>Everything that differs</summary>\n\n{rest}\n</details>")
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(answer: Diff) -> str:
    change = answer.change
    mark = "✗" if answer.refused or answer.loses else "✓"
    if change is None:
        return f"{mark} Payoff: the change in money cannot be said"
    if not change.differ:
        return f"{mark} Payoff: the same decisions, the same money"
    said = f"{money(change.mean, change.currency, sign=True)} a year"
    return (
        f"{mark} Payoff: {said}"
        if change.low > 0 or change.high < 0
        else f"{mark} Payoff: no more than chance ({said})"
    )


def _table(answer: Diff) -> str:
    rows = words.number_rows(answer.results)
    if not rows:
        return ""
    cells = [
        ("", "before", "after", "change"),
        ("---", "--:", "--:", "--:"),
        *(tuple(map(_plain, row)) for row in rows),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _plain(text: str) -> str:
    """Text that stays text: no markup, no link, nobody called by name."""
    return re.sub(r"([\\`*_\[\]|~#@])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _fence(text: str) -> str:
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "\n... the rest is in `payoff diff`\n"
    longest = max((len(each) for each in re.findall(r"`+", shown)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}diff\n{shown.rstrip()}\n{ticks}"
