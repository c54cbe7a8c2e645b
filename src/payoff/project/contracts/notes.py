"""A contract file while it is read: where things stand, what references mean, what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payoff.project.contracts import quality

if TYPE_CHECKING:
    from payoff.project.contracts.marks import Document
    from payoff.project.contracts.quality import Problem
    from payoff.project.files import Reading

    Path_ = tuple[str | int, ...]


class Notes:
    """`names`: table -> name of a property -> its column. `ids`: `table/property` in names and stable ids -> (table, property)."""

    def __init__(self, document: Document, reading: Reading) -> None:
        self.document = document
        self.reading = reading
        self.names: dict[str, dict[str, str]] = {}
        self.ids: dict[str, tuple[str, str]] = {}

    def find(self, problem: Problem, path: Path_) -> None:
        """Keep a problem as a finding, with its place."""
        place = self.document.place((*path, problem.key) if problem.key else path)
        self.reading.find(
            problem.severity,
            problem.code,
            problem.what,
            place,
            expected=problem.expected,
            remedy=f"change {place.file}:{place.line}, then: payoff check",
        )

    def name(self, table: dict[str, Any]) -> None:
        """Note what a table's properties are called."""
        columns = self.names.setdefault(table["name"], {})
        for prop in table.get("properties", ()):
            columns[prop["name"]] = prop.get("physicalName") or prop["name"]
            for name in (prop["name"], prop.get("id")):
                for owner in (table["name"], table.get("id")):
                    if name and owner:
                        self.ids[f"{owner}/{name}"] = (table["name"], prop["name"])

    def reference(self, value: str, path: Path_) -> tuple[str, str] | None:
        """(table, property) of a reference, by names (`clients.id`) or by ids (`schema/clients/properties/id`)."""
        if "/" in value or "#" in value:
            parts = value.rpartition("#")[2].strip("/").split("/")
            known = self.ids.get("/".join(parts[1::2])) if "#" not in value.rstrip("#") else None
            if known is None:
                self.find(quality.not_checked("a reference by id that leads out of this file"), path)
            return known
        parts = value.rsplit(".", 2)
        return parts[-2], parts[-1]
