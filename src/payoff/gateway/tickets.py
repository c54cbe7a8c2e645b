"""Tickets: what was asked, by whom, until when; signed, so that nobody but this gateway makes them."""

from __future__ import annotations

import base64

import msgspec

from payoff.base import hashing
from payoff.base.clock import stopwatch
from payoff.base.errors import Refused
from payoff.gateway.reading import Asked

SECONDS = 300.0  # for which a ticket holds


class _Ticket(msgspec.Struct, frozen=True):
    reader: str
    asked: Asked
    until: float


class Tickets:
    """Signs with a key of its own process, whose clock they are held against: none is of use after a restart."""

    def __init__(self, key: bytes, seconds: float = SECONDS) -> None:
        self._key = key
        self._seconds = seconds

    def make(self, reader: str, asked: Asked) -> bytes:
        """A ticket for one reader."""
        body = msgspec.json.encode(_Ticket(reader, asked, stopwatch() + self._seconds))
        return hashing.keyed(self._key, body).encode() + b"." + base64.urlsafe_b64encode(body)

    def read(self, reader: str, ticket: bytes) -> Asked:
        """What was asked; `Refused` for a ticket that this gateway did not make, made for somebody else, or made too long ago."""
        signature, _, coded = ticket.partition(b".")
        try:
            body = base64.urlsafe_b64decode(coded)
            ours = hashing.same(hashing.keyed(self._key, body), signature.decode("latin-1"))
            found = msgspec.json.decode(body, type=_Ticket) if ours else None
        except (ValueError, msgspec.MsgspecError):
            found = None
        if found is None:
            raise _refused("was not made by this gateway")
        if found.reader != reader:
            raise _refused("was made for another reader")
        if found.until < stopwatch():
            raise _refused("is too old")
        return found.asked


def _refused(why: str) -> Refused:
    return Refused(
        f"the ticket {why}",
        code="PO-H014",
        expected=f"a ticket of this gateway for this reader, of the last {SECONDS / 60:.0f} minutes",
        remedy="ask for the table again (get_flight_info), then read with the new ticket",
    )
