"""What a project's gateway offers, and to whom: the `[gateway]` section of payoff.toml."""

from __future__ import annotations

import msgspec

from payoff.records.label import Classification


class ReaderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody outside who may read. `token` is a reference to an environment variable, never the token; `zone` is where what is read goes;
    `tables`: None for all that are offered; `rows`: table -> an SQL condition that its rows must meet.
    """

    name: str
    token: str
    zone: str
    purposes: tuple[str, ...] = ()
    clearance: Classification = "secret"
    tables: tuple[str, ...] | None = None
    rows: dict[str, str] = {}
    line: int = 0


class GatewaySpec(msgspec.Struct, frozen=True, kw_only=True):
    """The tables that are offered (none unless said), and the readers. `certificate` and `key` are files in PEM, relative to the project."""

    tables: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""
    batch_rows: int = 65_536
    insecure: bool = False
    readers: tuple[ReaderSpec, ...] = ()
