"""Where a column may go: every use of a column is held against its label, and what is forbidden is named with its whole way and its remedies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from payoff.records.label import CLASSIFICATIONS, Label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from payoff.data.labels.flow import Labelled, Node
    from payoff.records.label import Zone

Kind = Literal["placed", "sink", "tracked", "trained", "served", "used", "named"]
Rule = Literal["zone", "clearance", "purpose", "training"]

_SHOWN = 5  # of many columns
CODES: dict[Rule, str] = {"zone": "PO-F001", "clearance": "PO-F002", "purpose": "PO-F003", "training": "PO-F004"}


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happens to a column: it comes to a `zone`, is used for a `purpose`, or a model learns from it.

    `says` ends the sentence "COLUMN would be ..."; `key` is what a user changes to send it elsewhere.
    """

    kind: Kind
    node: tuple[str, str]
    says: str
    zone: str | None = None
    purpose: str | None = None
    clearance: str | None = None
    key: str = ""
    file: str = "payoff.toml"
    line: int = 0


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """A use that a label forbids. `origin` is the column that brings the rule, `path` the way from there to the use; `others` bring it, too."""

    code: str
    rule: Rule
    use: Use
    origin: tuple[str, str]
    path: tuple[tuple[str, str], ...]
    others: tuple[tuple[str, str], ...]
    label: Label
    forbids: str
    remedies: tuple[str, ...]


def breaches(known: Labelled, uses: Iterable[Use], zones: Iterable[Zone]) -> list[Breach]:
    """Every use that is forbidden; of several columns with the same origin, rule and place only the first."""
    checker = _Checker(known, {zone.name: zone for zone in zones})
    found: dict[tuple[object, ...], Breach] = {}
    for use in uses:
        for breach in checker.check(use):
            found.setdefault((breach.rule, breach.origin, use.kind, use.zone, use.purpose, use.says), breach)
    return list(found.values())


class _Checker:
    def __init__(self, known: Labelled, zones: dict[str, Zone]) -> None:
        self.known = known
        self.zones = zones

    def check(self, use: Use) -> Iterable[Breach]:
        label = self.known.label(*use.node)
        for rule, wrong in self._rules(use).items():
            if wrong(label):
                yield self._breach(use, rule, wrong, label)

    def _rules(self, use: Use) -> dict[Rule, Callable[[Label], bool]]:
        rules: dict[Rule, Callable[[Label], bool]] = {}
        if use.zone is not None:
            place = use.zone
            rules["zone"] = lambda label: label.zones is not None and place not in label.zones
            most = self._clearance(use)
            rules["clearance"] = lambda label: label.level > most
        if use.kind == "trained":
            rules["training"] = lambda label: label.classification == "secret"
        if use.purpose is not None:
            purpose = use.purpose
            rules["purpose"] = lambda label: label.purposes is not None and purpose not in label.purposes
        return rules

    def _clearance(self, use: Use) -> int:
        zone = self.zones.get(use.zone or "")
        levels = [CLASSIFICATIONS.index(zone.clearance) if zone is not None else len(CLASSIFICATIONS)]
        if use.clearance is not None:
            levels.append(CLASSIFICATIONS.index(use.clearance))
        return min(levels)

    def _breach(self, use: Use, rule: Rule, wrong: Callable[[Label], bool], label: Label) -> Breach:
        paths = self.known.paths(self.known.known(*use.node), wrong)
        path = paths[0]
        origin = self.known.labels.get(path[0], label)
        return Breach(
            code=CODES[rule],
            rule=rule,
            use=use,
            origin=path[0],
            path=path,
            others=tuple(other[0] for other in paths[1:]),
            label=origin,
            forbids=self._forbids(rule, origin, use),
            remedies=self._remedies(rule, use, paths, label),
        )

    def _forbids(self, rule: Rule, label: Label, use: Use) -> str:
        """The rule in words."""
        if rule == "zone":
            return f"may be in {_listed(label.zones)} only"
        if rule == "clearance":
            most = CLASSIFICATIONS[min(self._clearance(use), len(CLASSIFICATIONS) - 1)]
            return f"is {label.classification}; at most {most} may go there"
        if rule == "training":
            return "is secret; a model can give away what it was trained on"
        return f"may be used for {_listed(label.purposes)} only"

    def _remedies(self, rule: Rule, use: Use, paths: list[tuple[Node, ...]], label: Label) -> tuple[str, ...]:
        """The smallest edits that would make it lawful, the smallest first."""
        found = []
        if rule in ("zone", "clearance") and use.key and (fit := self._fit(use, label)):
            found.append(f"{use.key} = {fit[0]!r}" + (f" (or {', '.join(fit[1:4])})" if fit[1:] else ""))
        if rule == "purpose" and not use.purpose:
            found.append("say in charter.toml what it is for: [objective] purpose")
        elif rule == "purpose":
            stewards = " and ".join(dict.fromkeys(path[0][0] for path in paths))
            found.append(f"have the steward of {stewards} permit the purpose {use.purpose!r} in the contract")
        found += self._drops(paths)
        lower = next((table for table, _ in paths[0] if self.known.made[table].kind == "query"), None)
        if lower is not None:
            found.append(
                f"lower {paths[0][0][1]} in the contract of {lower}: aggregate over k rows or more, mask, hash or generalise it"
            )
        return tuple(found)

    def _fit(self, use: Use, label: Label) -> list[str]:
        """The zones where the column may go."""
        return sorted(
            name
            for name, zone in self.zones.items()
            if (label.zones is None or name in label.zones) and CLASSIFICATIONS.index(zone.clearance) >= label.level
        )

    def _drops(self, paths: list[tuple[Node, ...]]) -> list[str]:
        """What the first step on each way would have to do without."""
        dropped: dict[tuple[str, str], list[str]] = {}
        for origin, *rest in paths:
            if not rest:
                continue
            made = self.known.made[rest[0][0]]
            values, _ = self.known.parents(rest[0])
            how = "take" if origin in values else "filter, join, group or order by"
            where = f" ({made.file}:{made.line})" if made.file else ""
            dropped.setdefault((how, f"{made.table}{where}"), []).append(".".join(origin))
        said = [
            f"do not {how} {', '.join(names[:_SHOWN])}{f' and {len(names) - _SHOWN} more' if names[_SHOWN:] else ''} in {step}"
            for (how, step), names in dropped.items()
        ]
        return [" and ".join(said)] if said else []


def _listed(names: frozenset[str] | None) -> str:
    listed = sorted(names or ())
    return " or ".join(listed) if listed else "no zone of this project"
