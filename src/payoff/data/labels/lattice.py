"""The arithmetic of labels: what holds for something made of several columns is the strictest of what holds for each.

Labels form a lattice (Denning, "A lattice model of secure information flow", 1976): classification by its level, zones, purposes and retention by intersection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.records.label import ANYWHERE, CLASSIFICATIONS, Label, LabelSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from payoff.records.contract import Contract
    from payoff.records.label import Lowering
    from payoff.records.project import Project

PUBLIC = Label()


def join(labels: Iterable[Label]) -> Label:
    """What holds for something that is made of all of these; of nothing: public, anywhere, for anything.

    >>> eu = Label("personal", frozenset({"fra", "ams"}), None, 30)
    >>> de = Label("internal", frozenset({"fra"}), frozenset({"billing"}))
    >>> joined = join([eu, de])
    >>> joined.classification, sorted(joined.zones), sorted(joined.purposes), joined.retention
    ('personal', ['fra'], ['billing'], 30)
    """
    distinct = set(labels)
    if len(distinct) <= 1:
        return distinct.pop() if distinct else PUBLIC
    level = max(each.level for each in distinct)
    return Label(
        CLASSIFICATIONS[level],
        _common([each.zones for each in distinct]),
        _common([each.purposes for each in distinct]),
        min((each.retention for each in distinct if each.retention is not None), default=None),
    )


def _listed(names: frozenset[str] | None) -> str:
    return "any" if names is None else " or ".join(sorted(names)) or "none"


def _common(parts: list[frozenset[str] | None]) -> frozenset[str] | None:
    given = [part for part in parts if part is not None]
    return frozenset.intersection(*given) if given else None


class Labels:
    """What a project's contracts say of columns; `given`: table -> column -> what holds for it where it comes from."""

    def __init__(self, project: Project, given: Mapping[str, Mapping[str, Label]] | None = None) -> None:
        self.given = given or {}
        self._default = project.labels
        self._zones = project.zones
        self._contracts = {contract.table: contract for contract in project.contracts}
        self._places: dict[tuple[str, ...], frozenset[str]] = {}

    def source(self, table: str, column: str) -> Label:
        """The label of a source's column: its contract's, and where that says nothing the project's default. Of one that came with a label: the stricter of that and the contract's."""
        spec = self.said(table, column)
        given = self.given.get(table, {}).get(column)
        if given is not None:
            return join((given, self.label(spec)))
        filled = LabelSpec(
            classification=spec.classification or self._default.classification or "internal",
            residency=self._default.residency if spec.residency is None else spec.residency,
            purposes=self._default.purposes if spec.purposes is None else spec.purposes,
            retention=self._default.retention if spec.retention is None else spec.retention,
        )
        return self.label(filled)

    def there(self, table: str, what: str) -> Label:
        """What holds for which rows a source has, or their order."""
        return self.given.get(table, {}).get(what, PUBLIC)

    def weaker(self, table: str, column: str) -> tuple[str, str] | None:
        """Where the contract of a source says less than what came with the column: in its words, and in those of where it comes from."""
        spec, given = self.said(table, column), self.given.get(table, {}).get(column)
        own = self.label(spec)
        if given is None:
            return None
        found = []
        if spec.classification is not None and own.level < given.level:
            found.append((str(own.classification), str(given.classification)))
        for said, mine, theirs, word in (
            (spec.residency, own.zones, given.zones, "in"),
            (spec.purposes, own.purposes, given.purposes, "for"),
        ):
            if said is not None and theirs is not None and (mine is None or not mine <= theirs):
                found.append((f"{word} {_listed(mine)}", f"{word} {_listed(theirs)}"))
        if spec.retention is not None and given.retention is not None and spec.retention > given.retention:
            found.append((f"kept for {spec.retention} days", f"kept for {given.retention} days"))
        return (", ".join(mine for mine, _ in found), ", ".join(theirs for _, theirs in found)) if found else None

    def declared(self, table: str, column: str) -> Label:
        """What a contract adds to what a column inherits: only what it says."""
        return self.label(self.said(table, column))

    def said(self, table: str, column: str) -> LabelSpec:
        """What the contract says, as it stands there."""
        contract = self._contracts.get(table)
        found = contract.column(column) if contract is not None else None
        return found.label if found is not None else LabelSpec()

    def lowering(self, table: str, column: str) -> Lowering | None:
        """The reviewed operator of a column, if it has one."""
        contract = self._contracts.get(table)
        found = contract.column(column) if contract is not None else None
        return found.lowering if found is not None else None

    def contract(self, table: str) -> Contract | None:
        """The contract of a table."""
        return self._contracts.get(table)

    def label(self, spec: LabelSpec) -> Label:
        """A label with places made zones. What a spec does not say is not restricted."""
        return Label(
            spec.classification or "public",
            None if spec.residency is None or ANYWHERE in spec.residency else self._zones_of(spec.residency),
            None if spec.purposes is None or ANYWHERE in spec.purposes else frozenset(spec.purposes),
            spec.retention,
        )

    def lowered(self, label: Label, lowering: Lowering) -> Label:
        """A label after a reviewed operator: only what the declaration speaks of changes."""
        to = lowering.to
        zones = label.zones if to.residency is None else self.label(to).zones
        purposes = label.purposes if to.purposes is None else self.label(to).purposes
        retention = label.retention if to.retention is None else to.retention
        level = to.classification or label.classification
        lower = CLASSIFICATIONS.index(level) < label.level
        return Label(level if lower else label.classification, zones, purposes, retention)

    def _zones_of(self, places: tuple[str, ...]) -> frozenset[str]:
        """The zones that are, or belong to, one of the places."""
        if places not in self._places:
            self._places[places] = frozenset(
                zone.name for zone in self._zones if zone.name in places or set(zone.jurisdictions) & set(places)
            )
        return self._places[places]
