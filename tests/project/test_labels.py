"""Labels as projects write them: zones in payoff.toml, classification, residency, purposes, retention and lowering in contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from payoff.project import places
from payoff.project.contracts import table as contracts
from payoff.project.files import Reading
from payoff.records.label import LabelSpec

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.records.contract import Column
    from payoff.records.finding import Finding

HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: c\nversion: 1.2.3\nstatus: active\n"


def column(tmp_path: Path, classification: str | None = None, **custom: Any) -> tuple[Column | None, list[Finding]]:
    prop: dict[str, Any] = {"name": "c", "customProperties": [{"property": k, "value": v} for k, v in custom.items()]}
    if classification is not None:
        prop["classification"] = classification
    (tmp_path / "c.yaml").write_text(HEAD + yaml.safe_dump({"schema": [{"name": "t", "properties": [prop]}]}), encoding="utf-8")
    reading = Reading(tmp_path)
    found, _ = contracts.read(reading, "c.yaml")
    return (found[0].columns[0] if found else None), reading.findings


def test_a_column_says_nothing_until_it_does(tmp_path: Path) -> None:
    found, findings = column(tmp_path)
    assert found is not None
    assert findings == []
    assert found.label == LabelSpec()


def test_labels_of_a_column(tmp_path: Path) -> None:
    found, findings = column(
        tmp_path, "Restricted", residency=["EU", "zurich"], purposes="billing, retention", retention="2 years"
    )
    assert found is not None
    assert findings == []
    assert found.label == LabelSpec(
        classification="confidential", residency=("EU", "zurich"), purposes=("billing", "retention"), retention=730
    )


@pytest.mark.parametrize(
    ("classification", "custom", "says"),
    [
        ("persnal", {}, "nearest: personal"),
        (None, {"residency": 7}, "list of names"),
        (None, {"retention": "soon"}, "number of days"),
        (None, {"retention": 0}, "number of days"),
        (None, {"depends": "age"}, "TABLE.COLUMN"),
        (None, {"lowering": "hash"}, "operator"),
        (None, {"lowering": {"operator": "hsh", "steward": "Ada", "to": "public"}}, "nearest: hash"),
        (None, {"lowering": {"operator": "hash", "to": "public", "key": "${K}"}}, "steward"),
        (None, {"lowering": {"operator": "hash", "steward": "Ada", "to": "public", "key": "written out"}}, "${NAME}"),
        (None, {"lowering": {"operator": "aggregate", "steward": "Ada", "to": "public", "k": 1}}, "2 or more"),
        (None, {"lowering": {"operator": "mask", "steward": "Ada", "to": "public", "keep": 9}}, "at most 4"),
        (None, {"lowering": {"operator": "generalise", "steward": "Ada", "to": "public"}}, "width"),
        (None, {"lowering": {"operator": "noise", "steward": "Ada", "to": "public", "epsilon": 0, "low": 0, "high": 1}}, "above 0"),
        (None, {"lowering": {"operator": "drop", "steward": "Ada", "to": "public", "kk": 3}}, "steward"),
    ],
)
def test_a_label_that_cannot_be_read_is_an_error(
    tmp_path: Path, classification: str | None, custom: dict[str, Any], says: str
) -> None:
    """It would otherwise protect nothing, silently."""
    _, findings = column(tmp_path, classification, **custom)
    (finding,) = findings
    assert finding.severity == "error"
    assert says in finding.expected


def test_lowering_is_read_whole(tmp_path: Path) -> None:
    value = {"operator": "aggregate", "k": 20, "to": "internal", "residency": "any", "steward": "Ada", "why": "monthly report"}
    found, findings = column(tmp_path, "personal", lowering=value)
    assert found is not None
    assert findings == []
    assert found.lowering is not None
    assert (found.lowering.operator, found.lowering.k, found.lowering.steward) == ("aggregate", 20, "Ada")
    assert found.lowering.to == LabelSpec(classification="internal", residency=("any",))


class _Document:
    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table

    def line(self, path: Any) -> int:
        return 1

    def place(self, path: Any) -> Any:
        from payoff.records.finding import Place

        return Place("payoff.toml", 1)


def zones(tmp_path: Path, **sections: Any) -> tuple[dict[str, Any], list[Finding]]:
    reading = Reading(tmp_path)
    return places.read(_Document({"project": {}, **sections}), reading), reading.findings  # type: ignore[arg-type]


def test_without_zones_every_name_is_one(tmp_path: Path) -> None:
    """A project that only writes down where its sources are need not declare places."""
    read, findings = zones(tmp_path, sources={"a": {"zone": "office"}}, tracking={"zone": "cloud"})
    assert findings == []
    assert [zone.name for zone in read["zones"]] == ["cloud", "office"]
    assert read["zone"] == "here"


@pytest.mark.parametrize(
    ("here", "kind", "codes"), [("vir", "sqlite", ["PO-P018"]), ("vir", "gateway", []), ("fra", "sqlite", []), ("ams", "sqlite", ["PO-P018"])]
)
def test_a_closed_zone_is_read_through_its_gateway(tmp_path: Path, here: str, kind: str, codes: list[str]) -> None:
    declared = {"fra": {"gateway": True}, "vir": {}, "ams": {"gateway": True}}
    _, findings = zones(
        tmp_path, zones=declared, project={"zone": here}, sources={"a": {"zone": "fra", "kind": kind}, "b": {"zone": "vir", "kind": "files"}, "c": {"kind": "files"}}
    )
    assert [finding.code for finding in findings] == codes


def test_with_zones_a_wrong_name_is_an_error(tmp_path: Path) -> None:
    declared = {"fra": {"jurisdictions": ["DE", "EU"], "clearance": "personal"}}
    read, findings = zones(tmp_path, zones=declared, sources={"a": {"zone": "frb"}}, labels={"residency": ["EU", "US"]})
    assert [finding.code for finding in findings] == ["PO-P015", "PO-P015"]
    assert "nearest: fra" in findings[0].expected
    assert read["zones"][0].clearance == "personal"
    assert read["labels"].residency == ("EU", "US")
