"""Among the versions of a package between that of A and that of B: the first one with which the outcome is another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class First(msgspec.Struct, frozen=True, kw_only=True):
    """`version`: the first that is known to change the outcome. `skipped`: those right before it of which nothing could be said."""

    version: str
    skipped: tuple[str, ...] = ()
    executions: int = 0


def first_changed(versions: Sequence[str], changed: Callable[[str], bool | None]) -> First:
    """Halve the versions (in their order, after A's and up to B's, B's the last) for the first that changes the outcome.

    `changed(version)`: whether the outcome is not A's; None where it cannot be executed: then the versions around are tried. The last is known to change
    it, and is not asked for. Where the outcome changes and changes back, one of the changes is found.
    """
    low, high = -1, len(versions) - 1  # low: not changed (A itself), high: changed
    unknown: set[int] = set()
    asked = 0
    while True:
        open_ = [at for at in range(low + 1, high) if at not in unknown]
        if not open_:
            return First(
                version=versions[high], skipped=tuple(versions[at] for at in range(low + 1, high)), executions=asked
            )
        middle = (low + high) / 2
        at = min(open_, key=lambda each: abs(each - middle))
        answer = changed(versions[at])
        asked += 1
        if answer is None:
            unknown.add(at)
        elif answer:
            high = at
        else:
            low = at
