"""`[gateway]` in payoff.toml: what is offered to readers outside, and who they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.project.spec import Key, Section
from payoff.records.gateway import GatewaySpec, ReaderSpec
from payoff.records.label import CLASSIFICATIONS

if TYPE_CHECKING:
    from payoff.project.toml import Document

SECTION = "gateway"
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
SPEC = Section(
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


def read(document: Document) -> GatewaySpec:
    """What the section says, when its form is right."""
    section = document.table.get(SECTION, {})
    readers = tuple(
        ReaderSpec(
            name=name,
            token=said["token"],
            zone=said["zone"],
            purposes=tuple(said.get("purposes", ())),
            clearance=said.get("clearance", "secret"),
            tables=None if "tables" not in said else tuple(said["tables"]),
            rows=dict(said.get("rows", {})),
            line=document.line((SECTION, "readers", name)),
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
