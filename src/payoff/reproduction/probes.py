"""Hybrids that can be measured: sets of factors that are whole with what they need; each is executed once, and counted."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import msgspec

from payoff.reproduction.noise import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from payoff.records.hybrids.attribution import Factor, Measured

    Measure = Callable[[frozenset[str], int], Measured]
    Set = frozenset[str]

NONE: frozenset[str] = frozenset()


class Spent(Exception):
    """The executions that were allowed are used up."""


class Probes:
    """The testable factors in an order in which each comes after what it needs, those of a group together; and what was measured."""

    def __init__(self, factors: Sequence[Factor], measure: Measure, limit: int | None) -> None:
        testable = {each.id: each for each in factors if each.testable}
        asked = {
            name: [need for need in each.needs if need in testable and need != name] for name, each in testable.items()
        }
        # What needs something that cannot be switched here cannot be switched either.
        dead = _spread(
            {
                each.id
                for each in testable.values()
                if any(need not in testable and need in {f.id for f in factors} for need in each.needs)
            },
            asked,
        )
        self.order = [name for name in _sorted(list(testable.values()), asked) if name not in dead]
        self.untested = tuple(each.id for each in factors if each.id not in set(self.order))
        self.all: Set = frozenset(self.order)
        self.executions = 0
        self.repeats = 0
        self.each = 1
        # Where neither A nor B fails, a hybrid that does is one that does not fit together: it says nothing of any factor.
        self.fits = False
        self._place = {name: at for at, name in enumerate(self.order)}
        self._needs = {name: set(asked[name]) for name in self.order}
        self._measure = measure
        self._limit = limit
        self._known: dict[Set, list[Measured]] = {}

    def sorted(self, names: Iterable[str]) -> list[str]:
        """Names in the order."""
        return sorted(names, key=self._place.__getitem__)

    def whole(self, names: Iterable[str]) -> Set:
        """The names with all that they need."""
        found, open_ = set(), list(names)
        while open_:
            name = open_.pop()
            if name not in found:
                found.add(name)
                open_ += self._needs[name]
        return frozenset(found)

    def without(self, names: Iterable[str]) -> Set:
        """All factors but these and those that need them."""
        gone = set(names)
        while True:
            more = {name for name in self.order if name not in gone and self._needs[name] & gone}
            if not more:
                return self.all - gone
            gone |= more

    def read(self, taken: Set, times: int = 0) -> Reading:
        """A hybrid's reading over `times` executions (0: as many as every hybrid gets)."""
        known = self._known.setdefault(taken, [])
        while len(known) < (times or self.each):
            if self._limit is not None and self.executions >= self._limit:
                raise Spent
            known.append(self._measure(taken, len(known)))
            self.executions += 1
            self.repeats += len(known) > 1 or taken in {NONE, self.all}
            if known[-1].state == "unknown":
                break
        return self._reading(known)

    def seen(self, taken: Set) -> bool:
        """Whether a hybrid was measured."""
        return bool(self._known.get(taken))

    @property
    def left(self) -> int | None:
        """Executions that may still be made; None: any number."""
        return None if self._limit is None else max(0, self._limit - self.executions)

    @property
    def known(self) -> Iterator[tuple[Set, Reading]]:
        """All that was measured, in the order of measuring."""
        return ((taken, self._reading(found)) for taken, found in self._known.items() if found)

    def _reading(self, known: Sequence[Measured]) -> Reading:
        found = _reading(known)
        return (
            msgspec.structs.replace(found, state="unknown")
            if self.fits and found.state in {"failed", "mixed"}
            else found
        )


def _reading(known: Sequence[Measured]) -> Reading:
    states = {each.state for each in known}
    if "unknown" in states:
        return Reading(state="unknown", error=next(each.error for each in known if each.state == "unknown"))
    if states == {"value"}:
        return Reading(state="value", values=tuple(each.value or 0.0 for each in known))
    errors = {each.error for each in known}
    if len(states) == 1 and len(errors) == 1:
        return Reading(state="failed", error=known[0].error)
    return Reading(state="mixed", error="; ".join(sorted({each.error or "a value" for each in known})))


def _spread(gone: set[str], asked: dict[str, list[str]]) -> set[str]:
    while True:
        more = {name for name, needs in asked.items() if name not in gone and gone & set(needs)}
        if not more:
            return gone
        gone |= more


def _sorted(factors: list[Factor], asked: dict[str, list[str]]) -> list[str]:
    """Needed ones first, else by group and as they came; those that need each other in a ring come last, as they came."""
    groups: dict[str, int] = {}
    for each in factors:
        groups.setdefault(each.group or each.kind, len(groups))
    rank = {each.id: (groups[each.group or each.kind], at) for at, each in enumerate(factors)}
    waiting = {name: len(set(needs)) for name, needs in asked.items()}
    users: dict[str, list[str]] = {}
    for name, needs in asked.items():
        for need in set(needs):
            users.setdefault(need, []).append(name)
    ready = [(rank[name], name) for name, count in waiting.items() if not count]
    heapq.heapify(ready)
    found = []
    while ready:
        _, name = heapq.heappop(ready)
        found.append(name)
        for user in users.get(name, ()):
            waiting[user] -= 1
            if not waiting[user]:
                heapq.heappush(ready, (rank[user], user))
    return found + [each.id for each in factors if waiting[each.id] > 0]
