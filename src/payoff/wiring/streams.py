"""A stream becomes a source: what it has lands, and the table is all that landed."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from payoff.execute.streams.landed import Landed

if TYPE_CHECKING:
    from payoff.execute.streams.decode import Decoder
    from payoff.ports.landing import Landing
    from payoff.ports.stream import Stream
    from payoff.records.contract import Contract
    from payoff.records.stream import StreamOptions

GROUP = "payoff.streams"


def landed(
    table: str, stream: Stream, landing: Landing, options: StreamOptions, contract: Contract | None, *, offset: str
) -> Landed:
    """A table of a stream; the types of its fields are those of its section, else those of its contract."""
    return Landed(table, stream, landing, options, functools.partial(_decoder, table, options, contract, offset))


def _decoder(table: str, options: StreamOptions, contract: Contract | None, offset: str) -> Decoder:
    from payoff.execute.streams import decode  # noqa: PLC0415 - pyarrow, when there is something to decode

    return decode.Decoder(table, options, options.types or decode.types_of(contract), offset)
