"""A Flight SQL server of our own on loopback, with DuckDB behind it: the reading side of the protocol, tokens, passwords, TLS."""

from __future__ import annotations

import base64
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.flight as fl

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN, USER, PASSWORD = "token-geheim-0815", "tester", "geheim-0815"
_QUERY = "type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"


def fields(message: bytes) -> dict[int, bytes]:
    """The length-delimited fields of a protobuf message; numbers are skipped."""
    found, at = {}, 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 2:
            size = varint()
            found[key >> 3] = message[at : at + size]
            at += size
        else:
            varint()
    return found


class _Login(fl.ServerAuthHandler):
    def authenticate(self, outgoing: Any, incoming: Any) -> None:
        """The middleware looks at the headers."""

    def is_valid(self, token: bytes) -> bytes:
        return b""


class _Bearer(fl.ServerMiddleware):
    def sending_headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {TOKEN}"}


class _Guard(fl.ServerMiddlewareFactory):
    def start_call(self, info: Any, headers: dict[str, list[str]]) -> fl.ServerMiddleware | None:
        (said,) = headers.get("authorization", [""])
        kind, _, value = said.partition(" ")
        if kind == "Basic" and base64.b64decode(value).decode() == f"{USER}:{PASSWORD}":
            return _Bearer()
        if kind == "Bearer" and value == TOKEN:
            return None
        raise fl.FlightUnauthenticatedError(f"no entry with {said}")  # an unwise server: it says the secret


class Server(fl.FlightServerBase):
    """Answers queries from a DuckDB database in memory. `pause`: seconds before each batch; `other`: the schema of DoGet differs."""

    def __init__(self, location: str, **more: Any) -> None:
        super().__init__(location, auth_handler=_Login(), middleware={"guard": _Guard()}, **more)
        self.database = duckdb.connect()
        self.lock = threading.Lock()
        self.pause = 0.0
        self.other = False
        self.fail_after = 0

    def get_flight_info(self, context: Any, descriptor: fl.FlightDescriptor) -> fl.FlightInfo:
        command = fields(descriptor.command)
        if command.get(1, b"").decode() != _QUERY:
            raise NotImplementedError("only CommandStatementQuery")
        sql = fields(command[2])[1]
        with self.lock:
            try:
                schema = self.database.cursor().execute(f"select * from ({sql.decode()}) limit 0").to_arrow_table().schema
            except duckdb.Error as error:
                raise fl.FlightServerError(str(error)) from None
        return fl.FlightInfo(schema, descriptor, [fl.FlightEndpoint(sql, [])], -1, -1)

    def do_get(self, context: Any, ticket: fl.Ticket) -> fl.FlightDataStream:
        reader = self.database.cursor().execute(ticket.ticket.decode()).to_arrow_reader(10_000)
        schema = pa.schema([pa.field("odd", pa.int64())]) if self.other else reader.schema

        def batches() -> Iterator[pa.RecordBatch]:
            for number, batch in enumerate(reader):
                time.sleep(self.pause)
                if self.fail_after and number >= self.fail_after:
                    raise fl.FlightUnavailableError("going down")
                yield pa.record_batch([pa.array([1], pa.int64())], schema=schema) if self.other else batch

        return fl.GeneratorStream(schema, batches())


@contextlib.contextmanager
def server(**more: Any) -> Iterator[Server]:
    """A running server; its `port` says where."""
    scheme = "grpc+tls" if "tls_certificates" in more else "grpc"
    made = Server(f"{scheme}://127.0.0.1:0", **more)
    try:
        yield made
    finally:
        made.shutdown()
        made.database.close()


@contextlib.contextmanager
def quiet(made: Server, **states: Any) -> Iterator[None]:
    """Set states of a shared server for the length of a test."""
    before = {key: getattr(made, key) for key in states}
    for key, value in states.items():
        setattr(made, key, value)
    try:
        yield
    finally:
        for key, value in before.items():
            setattr(made, key, value)
