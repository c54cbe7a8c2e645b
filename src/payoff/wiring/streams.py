"""A stream becomes a source: what it has lands, and the table is all that landed."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from payoff.base.errors import UserError
from payoff.execute.streams.landed import Landed
from payoff.wiring import entry_points

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.execute.streams.decode import Decoder
    from payoff.ports.landing import Landing
    from payoff.ports.stream import Stream
    from payoff.ports.streaming.format import Format
    from payoff.records.contract import Contract
    from payoff.records.stream import StreamOptions

GROUP = "payoff.streams"
FORMATS = "payoff.formats"
_PLAIN = "json"  # the format that needs no adapter


def landed(
    table: str,
    stream: Stream,
    landing: Landing,
    options: StreamOptions,
    contract: Contract | None,
    *,
    offset: str,
    root: Path,
) -> Landed:
    """A table of a stream; the types of its fields are those of its section, else those of its format's schema, else those of its contract."""
    form = _format(table, options, root)
    return Landed(table, stream, landing, options, functools.partial(_decoder, table, options, contract, offset, form))


def _format(table: str, options: StreamOptions, root: Path) -> Format | None:
    if options.format == _PLAIN:
        if options.schema or options.registry:
            raise UserError(
                f"source {table}: schema and registry are of no use to JSON",
                code="PO-M019",
                expected=f"a format that has schemas: {', '.join(entry_points.names(FORMATS))}",
                remedy=f"name format in [sources.{table}] of payoff.toml, or take schema and registry out",
            )
        return None
    module = entry_points.load(FORMATS, options.format)
    made = entry_points.attribute(module, "Options")(schema=options.schema, registry=options.registry)
    form: Format = entry_points.attribute(module, "connect")(table, made, root)
    return form


def _decoder(
    table: str, options: StreamOptions, contract: Contract | None, offset: str, form: Format | None
) -> Decoder:
    from payoff.execute.streams import decode  # noqa: PLC0415 - pyarrow, when there is something to decode

    types = options.types or (form.types() if form else {}) or decode.types_of(contract)
    return decode.Decoder(table, options, types, offset, form=form)
