"""Two versions of the contracts: what a reader who relied on the old one may trip over, and what a steward must have meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec

from payoff.records.finding import Finding, Place
from payoff.records.label import CLASSIFICATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from payoff.records.contract import Column, Contract

Kind = Literal["breaking", "loosened"]


class Change(msgspec.Struct, frozen=True):
    """`breaking`: whoever reads by the old contract may fail or decide wrongly. `loosened`: a column may go where it could not before."""

    kind: Kind
    what: str
    line: int = 0


def findings(old: Iterable[Contract], new: Sequence[Contract], rev: str) -> list[Finding]:
    """Breaking changes are errors unless the contract's major version grew with them; loosened labels are warnings for the steward."""
    now = {contract.table: contract for contract in new}
    found: list[Finding] = []
    for before in old:
        after = now.get(before.table)
        if after is None:
            found.append(
                _finding("breaking", f"the contract of {before.table} is gone", before.file, 0, rev, grown=False)
            )
            continue
        grown = major(after.version) > major(before.version)
        for change in changes(before, after):
            what = f"{before.table}: {change.what}"
            found.append(_finding(change.kind, what, after.file, change.line, rev, grown=grown))
    return found


def _finding(kind: Kind, what: str, file: str, line: int, rev: str, *, grown: bool) -> Finding:
    if kind == "loosened":
        return Finding(
            code="PO-P091",
            severity="warning",
            what=f"{what}, since {rev}",
            where=Place(file, line),
            expected="labels as strict as before, or a steward who means it",
            try_="have the data's steward review this change of the contract",
        )
    return Finding(
        code="PO-P090",
        severity="warning" if grown else "error",
        what=f"{what}, since {rev}",
        where=Place(file, line),
        expected="a contract that keeps what it promised, or a new major version of it",
        try_="tell its readers"
        if grown
        else f"take the change back, or raise version in {file} to a new major version",
    )


def major(version: str) -> int:
    """The first number of a version.

    >>> major("v12.3.1"), major("draft")
    (12, 0)
    """
    match = re.search(r"\d+", version)
    return int(match[0]) if match else 0


def changes(before: Contract, after: Contract) -> Iterator[Change]:
    """What changed between two contracts of the same table."""
    for column in before.columns:
        now = after.column(column.name)
        if now is None:
            yield Change("breaking", f"column {column.name} is no longer promised")
        else:
            for what in _narrowed(column, now):
                yield Change("breaking", f"{what} ({column.name})", now.line)
            for what in _loosened(column, now):
                yield Change("loosened", f"{what} ({column.name})", now.line)
    if before.epsilon is not None and (after.epsilon is None or after.epsilon > before.epsilon):
        now_ = "there is none any more" if after.epsilon is None else f"it is {after.epsilon:g}"
        yield Change("loosened", f"the budget of epsilon was {before.epsilon:g}, and {now_}")
    kept = {(check.kind, check.name): check for check in after.checks}
    for check in before.checks:
        still = kept.get((check.kind, check.name))
        if check.severity == "error" and (still is None or still.severity != "error"):
            yield Change("breaking", f"the promise {check.name!r} is gone")
        elif check.kind == "freshness" and still is not None and (still.maximum or 0) > (check.maximum or 0):
            yield Change("breaking", f"{check.name}: may be older than before", still.line)


def _narrowed(old: Column, new: Column) -> Iterator[str]:
    """What a reader could rely on and cannot any more, and what it may do and must not any more."""
    if new.type != old.type and old.type is not None:
        yield f"its type is {new.type or 'no longer said'} and was {old.type}"
    for name, says in (("required", "may be missing"), ("unique", "may be there twice")):
        if getattr(old, name) and not getattr(new, name):
            yield f"a value {says} now"
    if old.enum is not None and (new.enum is None or set(new.enum) - set(old.enum)):
        yield "other values are allowed than before"
    if old.pattern is not None and new.pattern != old.pattern:
        yield "its pattern is another one"
    for low, high in (("minimum", "maximum"), ("min_length", "max_length")):
        yield from _wider(old, new, low, high)
    if old.references is not None and new.references != old.references:
        yield "it refers to something else than before" if new.references else "it refers to nothing any more"
    if old.currency != new.currency and old.currency is not None:
        yield "its currency is another one"
    if old.known == "before" and new.known == "after":
        yield "it is known only after the decision now"
    yield from _stricter(old, new)


def _wider(old: Column, new: Column, low: str, high: str) -> Iterator[str]:
    was, now = getattr(old, low), getattr(new, low)
    if was is not None and (now is None or type(now) is not type(was) or now < was):
        yield (
            f"its {low.replace('_', ' ')} is lower than before"
            if now is not None
            else f"it has no {low.replace('_', ' ')} any more"
        )
    was, now = getattr(old, high), getattr(new, high)
    if was is not None and (now is None or type(now) is not type(was) or now > was):
        yield (
            f"its {high.replace('_', ' ')} is higher than before"
            if now is not None
            else f"it has no {high.replace('_', ' ')} any more"
        )


def _stricter(old: Column, new: Column) -> Iterator[str]:
    """Labels under which what was lawful before is refused now."""
    if _level(new) > _level(old):
        yield f"it is {new.classification} and was {old.classification or 'not labelled'}"
    for name, says in (("residency", "may be in fewer places"), ("purposes", "may be used for less")):
        was, now = _set(getattr(old, name)), _set(getattr(new, name))
        if now is not None and (was is None or not was <= now):
            yield f"it {says} than before"
    if new.retention is not None and (old.retention is None or new.retention < old.retention):
        yield "it may be kept for less long than before"


def _loosened(old: Column, new: Column) -> Iterator[str]:
    if _level(new) < _level(old):
        yield f"it is {new.classification or 'not labelled'} and was {old.classification}"
    for name, says in (("residency", "may be in more places"), ("purposes", "may be used for more")):
        was, now = _set(getattr(old, name)), _set(getattr(new, name))
        if was is not None and (now is None or not now <= was):
            yield f"it {says} than before"
    if old.retention is not None and (new.retention is None or new.retention > old.retention):
        yield "it may be kept for longer than before"
    if new.lowering is not None and _said(new) != _said(old):
        yield f"its label is lowered ({new.lowering.operator}, by {new.lowering.steward})"


def _level(column: Column) -> int:
    """An unlabelled column counts as internal, the usual default."""
    return CLASSIFICATIONS.index(column.classification or "internal")


def _set(names: tuple[str, ...] | None) -> set[str] | None:
    return None if names is None or "any" in names else set(names)


def _said(column: Column) -> object:
    return msgspec.structs.replace(column.lowering, line=0) if column.lowering is not None else None
