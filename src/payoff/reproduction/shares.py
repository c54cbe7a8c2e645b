"""What each cause contributes to the difference, alone and together."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import msgspec

from payoff.records.hybrids.attribution import Cause, Interaction
from payoff.reproduction.probes import NONE, Spent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payoff.records.hybrids.attribution import Factor
    from payoff.reproduction.jumps import Jump
    from payoff.reproduction.noise import Reading, Ruler
    from payoff.reproduction.probes import Probes, Set

_PAIRS = 6  # causes among which every pair is tried


class Shares(msgspec.Struct, frozen=True, kw_only=True):
    """`remainder` is what is left of the difference; None where one of the two has no amount. `reason`: how the shares are to be read."""

    causes: tuple[Cause, ...]
    interactions: tuple[Interaction, ...] = ()
    remainder: float | None = None
    reason: str = ""


class _Effects:
    def __init__(self, probes: Probes, ruler: Ruler, blocks: Sequence[tuple[str, ...]]) -> None:
        self.probes, self.ruler, self.blocks = probes, ruler, blocks

    def union(self, chosen: Sequence[int]) -> Set:
        return self.probes.whole(itertools.chain.from_iterable(self.blocks[at] for at in chosen))

    def read(self, chosen: Sequence[int]) -> Reading | None:
        """The reading of the causes chosen; None where it has no amount."""
        found = self.probes.read(self.union(chosen) if chosen else NONE)
        return found if found.state == "value" else None


def shares(
    probes: Probes, ruler: Ruler, found: Sequence[Jump], factors: Mapping[str, Factor], difference: float | None
) -> Shares:
    """Shares of the causes found. Shares, interactions and remainder add up to the difference.

    Each cause's share is what it does alone, put into A; an interaction is what is left of several together after that of each alone (of three and
    more, after that of every pair too), as the effects of a factorial experiment are defined (Yates 1937). Where one alone cannot be executed, or has no
    amount, shares are those of putting the causes in one after the other, and the answer says so.
    """
    blocks = [each.names for each in found]
    effects = _Effects(probes, ruler, blocks)
    if difference is None:
        return Shares(causes=tuple(_cause(factors, each, None) for each in found))
    try:
        alone, base = _alone(effects), effects.read([])
    except Spent:
        alone = base = None
    if alone is None or base is None:
        return _in_turn(effects, found, factors, difference)
    causes = [
        _cause(factors, each, value.mean - base.mean, ruler.error(len(value.values), len(base.values)))
        for each, value in zip(found, alone, strict=True)
    ]
    together: list[Interaction] = []
    reason = ""
    if len(blocks) > 1:
        try:
            together = _together(
                effects, [_title(factors, each.names) for each in found], [each.effect or 0.0 for each in causes]
            )
        except Spent:
            reason = "What the causes do together was not measured: the executions allowed were used up."
    said = math.fsum([*[each.effect or 0.0 for each in causes], *[each.effect or 0.0 for each in together]])
    return Shares(causes=tuple(causes), interactions=tuple(together), remainder=difference - said, reason=reason)


def _alone(effects: _Effects) -> list[Reading] | None:
    """Each cause's reading alone; None where one has none, or cannot be had without another."""
    readings = []
    for at, names in enumerate(effects.blocks):
        others = set(itertools.chain.from_iterable(each for n, each in enumerate(effects.blocks) if n != at))
        if effects.union([at]) & others - set(names):
            return None
        reading = effects.read([at])
        if reading is None:
            return None
        readings.append(reading)
    return readings


def _together(effects: _Effects, titles: list[str], alone: list[float]) -> list[Interaction]:
    """Interactions that are more than noise."""
    base, every = effects.read([]), effects.read(range(len(alone)))
    if base is None or every is None:
        return []
    ruler, number = effects.ruler, len(alone)
    joint = every.mean - base.mean - math.fsum(alone)
    wide = ruler.error(len(every.values), *[len(base.values)] * (number + 1))
    if abs(joint) <= max(wide, ruler.floor):
        return []
    if number == 2:
        return [_interaction(titles, joint, wide)]
    found: list[Interaction] = []
    if number <= _PAIRS:
        for one, other in itertools.combinations(range(number), 2):
            pair = effects.read([one, other])
            effect = pair.mean - base.mean - alone[one] - alone[other] if pair else 0.0
            wide = ruler.error(len(pair.values), *[len(base.values)] * 3) if pair else 0.0
            if abs(effect) > max(wide, ruler.floor):
                found.append(_interaction([titles[one], titles[other]], effect, wide))
        joint -= math.fsum(each.effect or 0.0 for each in found)
        wide = ruler.error(len(every.values), *[len(base.values)] * (number * (number + 1) // 2))
    if abs(joint) > max(wide, ruler.floor):
        found.append(_interaction(titles, joint, wide))
    return found


def _in_turn(effects: _Effects, found: Sequence[Jump], factors: Mapping[str, Factor], difference: float) -> Shares:
    """Shares of causes put in one after the other; of those where not even that can be measured, the change at which they were found."""
    causes, last = [], effects.read([])
    reason = "Shares are those of putting the causes in one after the other: each alone cannot be measured."
    for at, jump in enumerate(found):
        try:
            value = effects.read(range(at + 1))
        except Spent:
            value = None
        before, after = (last, value) if value is not None and last is not None else _ends(effects, jump)
        if before is None or after is None:
            causes.append(_cause(factors, jump, None))
        else:
            wide = effects.ruler.error(len(after.values), len(before.values))
            causes.append(_cause(factors, jump, after.mean - before.mean, wide))
        last = value
    said = math.fsum(each.effect or 0.0 for each in causes)
    return Shares(causes=tuple(causes), remainder=difference - said, reason=reason)


def _ends(effects: _Effects, jump: Jump) -> tuple[Reading | None, Reading | None]:
    """The two hybrids between which the outcome changed; both were measured."""
    before, after = effects.probes.read(jump.before), effects.probes.read(jump.after)
    return (before if before.state == "value" else None), (after if after.state == "value" else None)


def _cause(factors: Mapping[str, Factor], jump: Jump, effect: float | None, wide: float = 0.0) -> Cause:
    first = factors[jump.names[0]]
    several = tuple(factors[name].name for name in jump.names) if len(jump.names) > 1 else ()
    return Cause(
        kind=first.kind,
        name=_title(factors, jump.names),
        a=first.a if not several else "",
        b=first.b if not several else "",
        effect=effect,
        low=None if effect is None else effect - wide,
        high=None if effect is None else effect + wide,
        names=several,
        reason=jump.reason,
    )


def _title(factors: Mapping[str, Factor], names: Sequence[str]) -> str:
    return ", ".join(factors[name].name for name in names)


def _interaction(titles: Sequence[str], effect: float, wide: float) -> Interaction:
    return Interaction(names=tuple(titles), effect=effect, low=effect - wide, high=effect + wide)
