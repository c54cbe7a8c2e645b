"""Between two hybrids that give different outcomes: the factors at which the outcome changes.

Factors are put in one after the other; somewhere on that path the outcome changes, and halving finds where, as `git bisect` does. That is
true whatever factors do together: nothing is assumed of them. Where halves change too, both are looked into. A half that leads from an outcome to
the same one is taken for innocent (what cancels out inside it is looked for elsewhere, `attribute`). Parts of Zeller and Hildebrandt, "Simplifying
and isolating failure-inducing input", IEEE TSE 28(2), 2002: outcomes that are unresolved, and what is done about them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from payoff.base import hashing
from payoff.reproduction.probes import Spent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payoff.reproduction.noise import Ruler
    from payoff.reproduction.probes import Probes, Set

_NEAR, _MIXED, _EDGES, _ONE = 4, 12, 12, 32


class Jump(msgspec.Struct, frozen=True, kw_only=True):
    """From `before` to `after` the outcome changes. `after` has more by `names`: one, or several that could not be parted, and `reason` says why.

    `cut`: they were not parted because the executions were used up.
    """

    before: frozenset[str]
    after: frozenset[str]
    names: tuple[str, ...]
    reason: str = ""
    cut: bool = False


def jumps(probes: Probes, ruler: Ruler, before: Set, after: Set) -> list[Jump]:
    """Every jump found on a path between two hybrids that were both measured; none where they give the same outcome.

    When the executions are used up, what could not be looked into is one jump, with all its names.
    """
    if ruler.same(probes.read(before), probes.read(after)):
        return []
    names = tuple(probes.sorted(after - before))
    if len(names) == 1:
        return [Jump(before=before, after=after, names=names)]
    try:
        middle = between(probes, before, after)
    except Spent:
        why = "the executions allowed were used up before they could be parted"
        return [Jump(before=before, after=after, names=names, reason=why, cut=True)]
    if middle is None:
        return [Jump(before=before, after=after, names=names, reason="no hybrid that parts them can be executed")]
    return jumps(probes, ruler, before, middle) + jumps(probes, ruler, middle, after)


def between(probes: Probes, before: Set, after: Set) -> Set | None:
    """A hybrid between two that can be executed, as near to the middle as there is one; None where all that were tried cannot be."""
    tried: set[Set] = set()
    for taken in _candidates(probes, before, after):
        if taken in tried or not before < taken < after:
            continue
        tried.add(taken)
        if probes.read(taken).state != "unknown":
            return taken
    return None


def _candidates(probes: Probes, before: Set, after: Set) -> Iterator[Set]:
    names = probes.sorted(after - before)
    number = len(names)
    positions = sorted(range(1, number), key=lambda at: (abs(2 * at - number), at))

    def front(order: list[str], at: int) -> Set:
        return before | (probes.whole(order[:at]) & after)

    for at in positions[:_NEAR]:
        yield front(names, at)
    # What resolves only together lies apart in this order; in another it may not. Shuffled by digests: who comes back asks for the same ones.
    for turn in range(_MIXED if number > 2 else 0):
        yield front(_shuffled(names, turn), number // 2)
    for at in positions[_NEAR : _NEAR + _EDGES]:
        yield front(names, at)
    for name in names[:_ONE]:
        yield front([name], 1)
        yield before | (probes.without([name]) & after)


def _shuffled(names: list[str], turn: int) -> list[str]:
    return sorted(names, key=lambda name: hashing.of_text(f"{turn} {name}"))
