"""Messages and tickets from outside: whole ones are read as they were written, all others are refused in words."""

from __future__ import annotations

import pytest
from google.protobuf import any_pb2
from hypothesis import given
from hypothesis import strategies as st

from payoff.base.errors import Refused, UserError
from payoff.gateway import protobuf, sql
from payoff.gateway.reading import Asked
from payoff.gateway.tickets import Tickets

TEXTS = st.text(st.characters(codec="utf-8"), max_size=300)


@given(TEXTS, st.binary(max_size=300))
def test_messages_are_those_of_protocol_buffers(kind: str, body: bytes) -> None:
    theirs = any_pb2.Any(type_url=kind, value=body).SerializeToString()
    found = protobuf.read(theirs)
    assert protobuf.text(found, 1) == kind
    assert found.get(2, [b""]) == [body]
    ours = any_pb2.Any.FromString(protobuf.write({1: kind.encode(), 2: body}))
    assert (ours.type_url, ours.value) == (kind, body)


@given(st.binary(max_size=200))
def test_what_is_no_message_is_refused_in_words(data: bytes) -> None:
    try:
        protobuf.read(data)
    except UserError as error:
        assert error.code == "PO-H017"
    assert sql.command(data) is None


@given(TEXTS)
def test_the_sql_of_a_query_is_found(query: str) -> None:
    body = protobuf.write({1: query.encode()})
    kind = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    assert sql.command(protobuf.write({1: kind, 2: body})) == query


@given(TEXTS, st.binary(max_size=200), st.integers(0, 10_000), st.integers(1, 255))
def test_only_a_ticket_as_it_was_made_is_one(name: str, noise: bytes, place: int, change: int) -> None:
    tickets, others = Tickets(b"k" * 32), Tickets(b"o" * 32)
    asked = Asked(table=name, columns=("a",), purpose="p")
    good = tickets.make("us", asked)
    assert tickets.read("us", good) == asked
    at = place % len(good)
    bent = good[:at] + bytes([good[at] ^ change]) + good[at + 1 :]
    for reader, ticket in (("eu", good), ("us", noise), ("us", others.make("us", asked)), ("us", good.partition(b".")[2])):
        with pytest.raises(Refused, match="ticket"):
            tickets.read(reader, ticket)
    try:
        assert tickets.read("us", bent) == asked, "base64 has signs that say nothing"
    except Refused as error:
        assert error.code == "PO-H014"


def test_a_ticket_grows_old() -> None:
    with pytest.raises(Refused, match="too old"):
        Tickets(b"k" * 32, seconds=-1.0).read("us", Tickets(b"k" * 32, seconds=-1.0).make("us", Asked(table="t")))
