"""`payoff environments collect`: environments that nobody needs go, so that they do not fill the disk."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from typing import TYPE_CHECKING

from payoff.base.clock import as_text, now
from payoff.base.errors import InvalidInput, UserError
from payoff.flows.environments import known, sandbox
from payoff.flows.opening import open_past
from payoff.project.past import locks
from payoff.records.answers.environments import Collected

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from payoff.flows.opening import Past
    from payoff.records.answers.environments import Listed

UNUSED_FOR = 30
MOST_HYBRIDS = 20  # of these a search needs few again: what was measured in them is kept

_MOST_MIXES = 1000  # each some 100 KB


def collect(
    project: str | None, *, keep_bytes: int | None = None, unused_for: int | None = None, dry_run: bool = False
) -> Collected:
    """Remove what was not used for so many days (default: 30, where no bound is given), then the longest unused until all together fit in the bound.

    Never one that the project names now, nor one that a process has in use. What an interrupted installation or a killed sandbox left goes always, and of the
    hybrids of runs all but those used last.
    """
    past = open_past(project)
    _sure(past.root)
    keeper = known.keeper(past.root)
    if keep_bytes is None and unused_for is None:
        unused_for = UNUSED_FOR
    total, removed, because, held = 0, [], [], []
    found = known.listed(past, keeper.kept())
    total = sum(each.kept.own_bytes for each in found)
    many = _beyond(found)
    for each in reversed(found):  # the longest unused first
        why = _reason(each, unused_for, keep_bytes if keep_bytes is not None and total > keep_bytes else None)
        why = why or (f"more than {MOST_HYBRIDS} hybrids of runs" if each.kept.digest in many else "")
        if not why:
            continue
        if each.kept.in_use or not (dry_run or keeper.discard(each.kept.digest)):
            held.append(each.kept.digest)
            continue
        removed.append(each)
        because.append(why)
        total = total - each.kept.own_bytes if dry_run else sum(one.own_bytes for one in keeper.kept())
    mixes = _mixes(past.root / known.MIXES, unused_for, dry_run=dry_run)
    if not dry_run:
        sandbox.clean(past.root)
    return Collected(
        done=not dry_run, removed=tuple(removed), because=tuple(because), held=tuple(held), bytes=total, mixes=mixes
    )


def bound(past: Past) -> int:
    """After a search for causes: all but the hybrids used last go, so that searches do not fill the disk; answers how many went."""
    try:
        keeper = known.keeper(past.root)
    except UserError:  # they are kept elsewhere
        return 0
    return sum(keeper.discard(each) for each in _beyond(known.listed(past, keeper.kept())))


def _beyond(found: Sequence[Listed]) -> list[str]:
    """The hybrids of runs that are too many; `found` has what was used last first."""
    hybrids = [each.kept for each in found if each.hybrid and not each.environments]
    return [each.digest for each in hybrids[MOST_HYBRIDS:] if not each.in_use]


def _sure(root: Path) -> None:
    """A lock that cannot be read names an environment that is not known: nothing is removed on a guess."""
    wrong = [
        each.as_error()
        for spec in known.specs(root)
        for each in locks.read(root, spec)[1]
        if each.severity == "error" and each.code != "PO-P021"
    ]
    if wrong:
        raise InvalidInput(wrong)


def _reason(each: Listed, unused_for: int | None, bound: int | None) -> str:
    kept = each.kept
    if not kept.whole:
        return "an installation that was interrupted"
    if each.environments:
        return ""
    if unused_for is not None and _days(kept.used) >= unused_for:
        return f"not used for {_days(kept.used)} days"
    return f"all together take more than {bound:,} bytes" if bound is not None else ""


def _days(moment: str) -> int:
    return (dt.datetime.fromisoformat(now()) - dt.datetime.fromisoformat(moment)).days


def _mixes(folder: Path, unused_for: int | None, *, dry_run: bool) -> int:
    """Locks between two runs, which are made again when they are needed: those that are old, and those that are too many."""
    if not folder.is_dir():
        return 0
    found = sorted(((each.stat().st_mtime, each.path) for each in os.scandir(folder)), reverse=True)
    old = {path for time, path in found if unused_for is not None and _days(as_text(time)) >= unused_for}
    old |= {path for _, path in found[_MOST_MIXES:]}
    if not dry_run:
        for path in old:
            shutil.rmtree(path, ignore_errors=True)
    return len(old)
