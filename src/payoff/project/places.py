"""Zones in payoff.toml: which there are, what is where, and what is offered to readers in others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payoff.base import text
from payoff.project.spec import Key, Section
from payoff.records.finding import Place
from payoff.records.label import ANYWHERE, CLASSIFICATIONS, HERE, LabelSpec, Zone
from payoff.records.project import Audience, GatewaySpec, ReaderSpec, ServingSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from payoff.project.files import Reading
    from payoff.project.toml import Document
    from payoff.project.toml import Path as Path_
    from payoff.records.contract import Contract

OFFERS = "gateway"
_READER = Section(
    {
        "token": Key(
            "text",
            "the reader's token, from the environment",
            required=True,
            pattern=r"\$\{[A-Za-z_][A-Za-z0-9_]*\}",
            pattern_says="${NAME}, an environment variable: git keeps what was once committed",
        ),
        "zone": Key("text", "the zone where what is read goes", required=True),
        "purposes": Key("texts", "what the reader may use it for (default: nothing that a label restricts)"),
        "clearance": Key(
            "text", "the highest classification the reader gets (default: secret)", choices=CLASSIFICATIONS
        ),
        "tables": Key("texts", "which of the offered tables (default: all)"),
        "rows": Section(
            {}, "which rows of a table", other=Key("text", "an SQL condition over columns the reader may read")
        ),
    },
    "somebody outside who may read",
)
READERS_SPEC = Section(
    {},
    "for whom runs are shown (payoff show RUN --for NAME)",
    other=Section(
        {
            "clearance": Key(
                "text", "the highest classification that is shown (default: internal)", choices=CLASSIFICATIONS
            ),
            "purposes": Key("texts", "what it is shown for (default: nothing that a label restricts)"),
            "zone": Key("text", "where it is read (default: the project's zone)"),
            "aggregates": Section(
                {
                    "k": Key("integer", "the fewest rows of a figure that is shown", required=True, low=2, closed=True),
                    "steward": Key("text", "who stands for it", required=True),
                },
                "figures over many rows are shown whatever labels say of the columns they are made of (default: they are not)",
            ),
            "default": Key("boolean", "true: reports and screens are made for this reader where none is named"),
        },
        "somebody who reads reports",
    ),
)
OFFERS_SPEC = Section(
    {
        "tables": Key("texts", "the tables that are offered (default: none)"),
        "certificate": Key("text", "the TLS certificate's file (PEM), relative to the project"),
        "key": Key("text", "the file of the certificate's private key (PEM)"),
        "batch_rows": Key("integer", "the most rows sent at once (default: 65536)", low=1, high=1_000_000, closed=True),
        "insecure": Key("boolean", "true: without TLS on other addresses than this machine's own (default: false)"),
        "readers": Section({}, "who may read", other=_READER),
    },
    "the tables of this project's zone for readers in others (payoff gateway)",
)
SERVING_SPEC = Section(
    {
        "zones": Key("texts", "the zones where the model will be served"),
        "token": Key(
            "text",
            "the token that clients must have, from the environment (default: none, for this machine alone)",
            pattern=r"\$\{[A-Za-z_][A-Za-z0-9_]*\}",
            pattern_says="${NAME}, an environment variable: git keeps what was once committed",
        ),
        "certificate": Key("text", "the TLS certificate's file (PEM), relative to the project"),
        "key": Key("text", "the file of the certificate's private key (PEM)"),
        "insecure": Key("boolean", "true: without TLS on other addresses than this machine's own (default: false)"),
        "log": Key(
            "text",
            "the highest classification of columns whose values are written to the log of predictions (default: internal)",
            choices=(*CLASSIFICATIONS, "nothing"),
        ),
    },
    "where the model goes, and how it is served (payoff serve)",
)


def read(document: Document, reading: Reading) -> dict[str, Any]:
    """`zone`, `zones`, `serving`, `labels` and `shown` of the configuration. Without `[zones]` each name that is used is a zone, of no jurisdiction."""
    table = document.table
    declared = {
        name: Zone(
            name=name,
            jurisdictions=tuple(section.get("jurisdictions", ())),
            clearance=section.get("clearance", "secret"),
            line=document.line(("zones", name)),
        )
        for name, section in table.get("zones", {}).items()
    }
    zones = dict(declared)
    for name, path in _used(table):
        if declared and name not in declared:
            _unknown(name, path, declared, document, reading)
        zones.setdefault(name, Zone(name=name))
    _check_gateways(document, reading)
    labels = table.get("labels", {})
    _check_residency(labels.get("residency", ()), zones, document, reading)
    return {
        "zone": table["project"].get("zone", HERE),
        "zones": tuple(zones.values()),
        "serving": tuple(table.get("serving", {}).get("zones", ())),
        "served": ServingSpec(
            **{name: value for name, value in table.get("serving", {}).items() if name in ServingSpec.__struct_fields__}
        ),
        "shown": labels.get("shown", "internal"),
        "readers": _readers(document, reading),
        "labels": LabelSpec(
            classification=labels.get("classification", "internal"),
            residency=_texts(labels.get("residency")),
            purposes=_texts(labels.get("purposes")),
            retention=labels.get("retention"),
        ),
    }


def _readers(document: Document, reading: Reading) -> tuple[Audience, ...]:
    found = tuple(
        Audience(
            name=name,
            clearance=said.get("clearance", "internal"),
            purposes=tuple(said.get("purposes", ())),
            zone=said.get("zone"),
            k=said.get("aggregates", {}).get("k", 0),
            steward=said.get("aggregates", {}).get("steward", ""),
            default=said.get("default", False),
            line=document.line(("readers", name)),
        )
        for name, said in document.table.get("readers", {}).items()
    )
    first = [each.name for each in found if each.default]
    if first[1:]:
        reading.error(
            "PO-P019",
            f"reports would be made for {' and '.join(first)} where no reader is named",
            document.place(("readers", first[1])),
            expected="default = true for one reader at most",
            remedy=f"take it out of [readers.{first[1]}] in payoff.toml, then: payoff check",
        )
    return found


def _check_gateways(document: Document, reading: Reading) -> None:
    """A zone with `gateway = true` is read from another through its gateway alone."""
    table = document.table
    closed = {name for name, section in table.get("zones", {}).items() if section.get(OFFERS)}
    here = table["project"].get("zone", HERE)
    for name, source in table.get("sources", {}).items():
        zone = source.get("zone", here)
        if zone in closed and zone != here and source.get("kind") != OFFERS:
            reading.error(
                "PO-P018",
                f"{name} is in zone {zone!r} and would be read by zone {here!r} past its gateway",
                document.place(("sources", name)),
                expected=f'kind = "{OFFERS}": the zone says that others read it through that alone',
                remedy=f"have {name} offered by payoff {OFFERS} there, and name its address in [sources.{name}] (docs/gateway.md)",
            )


def _texts(given: list[str] | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(given)


def _used(table: dict[str, Any]) -> list[tuple[str, Path_]]:
    """Every name of a zone, with the place where it stands."""
    parts: list[tuple[Path_, dict[str, Any]]] = [
        ((section,), table.get(section, {})) for section in ("project", "tracking", "lineage")
    ]
    parts += [
        ((section, name), options)
        for section in ("sources", "sinks")
        for name, options in table.get(section, {}).items()
    ]
    used: list[tuple[str, Path_]] = [(part["zone"], (*path, "zone")) for path, part in parts if "zone" in part]
    readers = table.get(OFFERS, {}).get("readers", {})
    used += [(reader["zone"], (OFFERS, "readers", name, "zone")) for name, reader in readers.items()]
    readers = table.get("readers", {})
    used += [(reader["zone"], ("readers", name, "zone")) for name, reader in readers.items() if "zone" in reader]
    used += [(name, ("serving", "zones")) for name in table.get("serving", {}).get("zones", ())]
    return used


def _unknown(name: str, path: Path_, zones: dict[str, Zone], document: Document, reading: Reading) -> None:
    reading.error(
        "PO-P015",
        f"there is no zone {name!r}",
        document.place(path),
        expected=text.did_you_mean(name, zones),
        remedy=f"correct the name, or add [zones.{name}] to payoff.toml, then: payoff check",
    )


def _check_residency(names: Iterable[str], zones: dict[str, Zone], document: Document, reading: Reading) -> None:
    for name in names:
        if name not in known_places(zones.values()):
            _unknown_place(reading, name, zones.values(), document.place(("labels", "residency")))


def check(reading: Reading, contracts: Iterable[Contract], zones: Iterable[Zone]) -> None:
    """Hold the places that contracts name against the zones of the project: a wrong name would forbid everything, or permit it."""
    listed = tuple(zones)
    for contract in contracts:
        for column in contract.columns:
            lowered = column.lowering.to.residency if column.lowering is not None else None
            for name in (*(column.residency or ()), *(lowered or ())):
                if name not in known_places(listed):
                    _unknown_place(reading, name, listed, Place(contract.file, column.line))


def _unknown_place(reading: Reading, name: str, zones: Iterable[Zone], where: Place) -> None:
    reading.error(
        "PO-P015",
        f"{name!r} is neither a zone nor a jurisdiction of one",
        where,
        expected=text.did_you_mean(name, known_places(zones)),
        remedy="correct the name, or say in [zones] of payoff.toml which zone belongs to it, then: payoff check",
    )


def known_places(zones: Iterable[Zone]) -> set[str]:
    """The names of all zones and of all their jurisdictions, and `any`."""
    return {ANYWHERE, *(each for zone in zones for each in (zone.name, *zone.jurisdictions))}


def offers(document: Document) -> GatewaySpec:
    """What the section says, when its form is right."""
    section = document.table.get(OFFERS, {})
    readers = tuple(
        ReaderSpec(
            name=name,
            token=said["token"],
            zone=said["zone"],
            purposes=tuple(said.get("purposes", ())),
            clearance=said.get("clearance", "secret"),
            tables=None if "tables" not in said else tuple(said["tables"]),
            rows=dict(said.get("rows", {})),
            line=document.line((OFFERS, "readers", name)),
        )
        for name, said in section.get("readers", {}).items()
    )
    return GatewaySpec(
        tables=tuple(section.get("tables", ())),
        certificate=section.get("certificate", ""),
        key=section.get("key", ""),
        batch_rows=section.get("batch_rows", 65_536),
        insecure=section.get("insecure", False),
        readers=readers,
    )
