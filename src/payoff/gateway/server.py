"""The Flight server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
from pyarrow import flight

from payoff.base.clock import stopwatch
from payoff.base.errors import OutsideError, UserError
from payoff.gateway import sql
from payoff.gateway.reading import Asked, Reading, Shape
from payoff.gateway.tables import Tables
from payoff.gateway.tickets import Tickets
from payoff.gateway.words import ReadOnly, flown, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payoff.flows.gateway import Offers
    from payoff.gateway.reading import Answer

BEARER = "bearer "
PURPOSE = "payoff-purpose"


class _Command(msgspec.Struct, forbid_unknown_fields=True):
    table: str
    columns: tuple[str, ...] | None = None


class Who(flight.ServerMiddleware):  # type: ignore[misc]
    """Whose call it is."""

    def __init__(self, reader: str, purpose: str) -> None:
        self.reader = reader
        self.purpose = purpose


class Door(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Nobody comes in without a reader's token."""

    def __init__(self, offers: Offers) -> None:
        super().__init__()
        self._offers = offers

    def start_call(self, info: Any, headers: dict[str, list[str]]) -> Who:
        """Find the reader by the token in `authorization: Bearer TOKEN`."""
        given = {name.lower(): values[0] for name, values in headers.items() if values}
        sent = given.get("authorization", "")
        token = sent[len(BEARER) :] if sent.lower().startswith(BEARER) else ""
        with said():
            reader = self._offers.reader(token)
        if reader is None:
            text = "PO-H015: the token is not one of a reader's" if token else "PO-H015: there is no token"
            raise flight.FlightUnauthenticatedError(f"{text} (expected: authorization: Bearer TOKEN)")
        return Who(reader.name, given.get(PURPOSE, ""))


class Server(flight.FlightServerBase):  # type: ignore[misc]
    """Serves what `Offers` permits; every method looks the reader up anew, by name, in the project as it is now."""

    def __init__(self, offers: Offers, location: str, tls: list[tuple[bytes, bytes]] | None, key: bytes) -> None:
        super().__init__(location, tls_certificates=tls, middleware={"who": Door(offers)})
        self._offers = offers
        self._tables = Tables()
        self._tickets = Tickets(key)
        self._last: float | None = None  # when streams are cut off, once the gateway is to stop

    def stop_by(self, seconds: float) -> None:
        """Streams that are still on their way after so many seconds end with an error."""
        self._last = stopwatch() + seconds

    def close(self) -> None:
        """Wait for what is on its way, and remove what was kept for readers."""
        self.shutdown()
        self._tables.close()

    def list_flights(self, context: Any, criteria: bytes) -> Iterator[flight.FlightInfo]:
        """The tables of which the reader may read something."""
        with said():
            reading, purpose = self._reading(context)
            for name, schema in reading.tables().items():
                descriptor = flight.FlightDescriptor.for_path(name)
                yield self._info(reading, Asked(table=name, purpose=purpose), descriptor, Shape(schema, None, {}))

    def get_flight_info(self, context: Any, descriptor: flight.FlightDescriptor) -> flight.FlightInfo:
        """The schema that the reader sees, a ticket, and (as metadata) a name for the content that changes with it."""
        with said():
            reading, purpose = self._reading(context)
            command = self._sql(descriptor)
            if isinstance(command, sql.Meta):
                schema = sql.answer(command, reading).schema
                ticket = flight.Ticket(command.whole)
                return flight.FlightInfo(schema, descriptor, [flight.FlightEndpoint(ticket, [])], -1, -1)
            asked = Asked(sql=command, purpose=purpose) if command is not None else _asked(descriptor, purpose)
            shape = reading.shape(asked)
            return self._info(reading, asked, descriptor, shape)

    def get_schema(self, context: Any, descriptor: flight.FlightDescriptor) -> flight.SchemaResult:
        """The schema that the reader sees."""
        return flight.SchemaResult(self.get_flight_info(context, descriptor).schema)

    def do_get(self, context: Any, ticket: flight.Ticket) -> flight.FlightDataStream:
        """The rows; that they are read is written down before the first of them leaves."""
        with said():
            reading, _ = self._reading(context)
            meta = sql.command(ticket.ticket)
            if isinstance(meta, sql.Meta):
                return flight.RecordBatchStream(sql.answer(meta, reading))
            asked = self._tickets.read(reading.reader.name, ticket.ticket)
            answer = reading.answer(asked)
        return flight.GeneratorStream(answer.schema, self._sent(answer))

    def list_actions(self, context: Any) -> list[tuple[str, str]]:
        """Those that Flight SQL's clients need to read."""
        return list(sql.ACTIONS.items())

    def do_action(self, context: Any, action: flight.Action) -> Iterator[bytes]:
        """Prepare a query, or forget it."""
        with said():
            reading, purpose = self._reading(context)
            if action.type == "CreatePreparedStatement":
                query = sql.to_prepare(action.body.to_pybytes())
                shape = reading.shape(Asked(sql=query, purpose=purpose))
                return iter([sql.prepared(query, shape.schema)])
            if action.type == "ClosePreparedStatement":
                return iter(())
            raise ReadOnly(action.type)

    def _reading(self, context: Any) -> tuple[Reading, str]:
        who: Who = context.get_middleware("who")
        reader = self._offers.named(who.reader)
        if reader is None:
            raise UserError(
                "the reader is no longer one of this gateway's",
                code="PO-H015",
                expected="a reader in payoff.toml",
                remedy="ask whoever runs the gateway",
            )
        return Reading(self._offers, self._tables, reader), who.purpose

    def _sql(self, descriptor: flight.FlightDescriptor) -> str | sql.Meta | None:
        command = descriptor.command
        return sql.command(command) if command and not command.lstrip().startswith(b"{") else None

    def _info(
        self,
        reading: Reading,
        asked: Asked,
        descriptor: flight.FlightDescriptor,
        shape: Shape,
    ) -> flight.FlightInfo:
        ticket = flight.Ticket(self._tickets.make(reading.reader.name, asked))
        endpoint = flight.FlightEndpoint(ticket, [])  # no place: from where the ticket came
        told = msgspec.json.encode({"version": shape.version, "labels": shape.labels}, order="deterministic")
        return flight.FlightInfo(shape.schema, descriptor, [endpoint], -1, -1, False, told)

    def _sent(self, answer: Answer) -> Iterator[pa.RecordBatch]:
        for batch in answer.batches:
            if self._last is not None and stopwatch() > self._last:
                raise flown(
                    OutsideError(
                        "the gateway was stopped in the middle of the table",
                        code="PO-H018",
                        expected="the whole table",
                        remedy="read again when the gateway is back",
                        retryable=True,
                    )
                )
            yield batch


def _asked(descriptor: flight.FlightDescriptor, purpose: str) -> Asked:
    """A path with the table's name, or a command `{"table": ..., "columns": [...]}`."""
    try:
        if descriptor.path:
            (name,) = descriptor.path
            return Asked(table=name.decode(), purpose=purpose)
        command = msgspec.json.decode(descriptor.command, type=_Command)
        return Asked(table=command.table, columns=command.columns, purpose=purpose)
    except (ValueError, msgspec.MsgspecError):
        raise UserError(
            "what is asked for cannot be read",
            code="PO-H017",
            expected='a path of one name (the table), or a command as {"table": "clients", "columns": ["age"]}',
            remedy="see docs/gateway.md",
        ) from None


def listen(offers: Offers, location: str, tls: list[tuple[bytes, bytes]] | None, key: bytes) -> Server:
    """A server that listens."""
    try:
        return Server(offers, location, tls, key)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise OutsideError(
            f"the gateway cannot listen at {location} ({type(error).__name__})",
            code="PO-H005",
            expected="a free port of an address of this machine, and a certificate with its key",
            remedy="choose another with --port, or see what has it: ss -ltnp",
        ) from None
