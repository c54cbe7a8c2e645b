"""A table of another zone, read through the gateway there."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from payoff.base import lazy
from payoff.base.errors import OutsideError, PayoffError, Refused, UserError
from payoff.ports.columns import chosen, fitted, plain
from payoff.records.label import Label

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa
    from pyarrow import flight
else:
    pa, flight = lazy.Module("pyarrow"), lazy.Module("pyarrow.flight")

CAPABILITIES = {"columns": True, "version": True, "sql": False, "pushdown": False, "labels": True}
_SECONDS = 30.0  # for an answer that is no table


@dataclasses.dataclass(frozen=True)
class Options:
    """`address`: grpc+tls://HOST:PORT (or grpc://, without TLS). `token`: the reader's, from the environment. `table`: its name there (the source's
    own unless said). `ca`: a file with the certificate that signs the gateway's, where the system does not know it. `purpose`: one of the
    reader's purposes, for a reader with several.
    """

    address: str
    token: str
    table: str = ""
    ca: str = ""
    purpose: str = ""


def connect(name: str, options: Options, root: Path) -> Gateway:
    """A table behind a gateway; nothing is opened yet."""
    return Gateway(name, options, root)


class Gateway:
    """See `ports.source.Source`. Columns that the gateway does not give are not there; asked for by name they are refused with its reason."""

    def __init__(self, name: str, options: Options, root: Path) -> None:
        self._name = name
        self._options = options
        self._table = options.table or name
        self._root = root

    def schema(self) -> pa.Schema:
        """The columns that this reader may have."""
        with self._client() as client, _Said(self):
            return plain(self._info(client).schema)

    def read(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """The rows as they come; a connection that breaks is an error, never the end of the table."""
        asked = None if columns is None else list(columns)
        with self._client() as client, _Said(self):
            if asked is not None:
                self._refuse_unknown(client, asked)
            schema = plain(self._info(client, asked).schema)
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema, asked))

    def version(self) -> str | None:
        """What the gateway says of the content that this reader may have."""
        with self._client() as client, _Said(self):
            found: str | None = json.loads(self._info(client).app_metadata or b"{}").get("version")
            return found

    def labels(self) -> dict[str, Label]:
        """See `ports.source.Labelling`: what holds for the columns in the project that the gateway serves."""
        with self._client() as client, _Said(self):
            found = json.loads(self._info(client).app_metadata or b"{}").get("labels", {})
        try:
            return msgspec.convert(found, dict[str, Label])
        except msgspec.ValidationError:
            raise OutsideError(
                f"source {self._name}: the gateway at {self._options.address} says labels that this version does not know",
                code="PO-H026",
                expected="labels as this version of Payoff has them: nothing is read while they cannot be understood",
                remedy="install the version of Payoff here that the gateway has",
            ) from None

    def describe(self) -> dict[str, Any]:
        """The address and the table."""
        return {"kind": "gateway", "address": self._options.address, "table": self._table}

    def _batches(self, schema: pa.Schema, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        with self._client() as client, _Said(self):
            info = self._info(client, columns)
            reader = client.do_get(info.endpoints[0].ticket, self._call(None))
            try:
                if plain(reader.schema) != schema:
                    raise self._changed()
                for chunk in reader:
                    yield fitted(chunk.data, schema)
            finally:
                reader.cancel()

    def _refuse_unknown(self, client: flight.FlightClient, columns: list[str]) -> None:
        """A name that the schema has not is either refused by a rule, in the gateway's words, or a mistake."""
        schema = self._info(client).schema
        missing = [name for name in columns if name not in schema.names]
        if missing:
            try:
                self._info(client, missing)
            except flight.FlightError as error:
                said = _said(error)
                if said.get("code", "").startswith("PO-F"):
                    raise
            chosen(self._name, schema, columns)

    def _info(self, client: flight.FlightClient, columns: list[str] | None = None) -> flight.FlightInfo:
        command = {"table": self._table} | ({} if columns is None else {"columns": columns})
        descriptor = flight.FlightDescriptor.for_command(json.dumps(command).encode())
        return client.get_flight_info(descriptor, self._call(_SECONDS))

    def _call(self, seconds: float | None) -> flight.FlightCallOptions:
        if not self._options.token.isascii() or not self._options.token.isprintable() or " " in self._options.token:
            raise self._wrong_token()
        headers = [(b"authorization", b"Bearer " + self._options.token.encode())]
        if self._options.purpose:
            headers.append((b"payoff-purpose", self._options.purpose.encode()))
        return flight.FlightCallOptions(timeout=seconds, headers=headers)

    def _client(self) -> flight.FlightClient:
        address = urlsplit(self._options.address)
        if address.scheme not in ("grpc", "grpc+tls", "grpc+tcp") or not address.hostname or "@" in address.netloc:
            raise self._wrong_address()
        try:
            ca = (self._root / self._options.ca).read_bytes() if self._options.ca else None
        except OSError:
            raise UserError(
                f"source {self._name}: the certificate {self._options.ca} cannot be read",
                code="PO-H024",
                expected="a certificate in PEM, relative to the project",
                remedy=f"correct ca in [sources.{self._name}] of payoff.toml",
            ) from None
        try:
            return flight.FlightClient(self._options.address, tls_root_certs=ca)
        except (pa.ArrowException, ValueError):
            raise self._wrong_address() from None

    def _wrong_address(self) -> UserError:
        return UserError(
            f"source {self._name}: its address is none of a gateway",
            code="PO-H025",
            expected="grpc+tls://HOST:PORT, or grpc://HOST:PORT without TLS",
            remedy=f"correct address in [sources.{self._name}] of payoff.toml",
        )

    def _wrong_token(self) -> UserError:
        return UserError(
            f"source {self._name}: the gateway at {self._options.address} does not know this token",
            code="PO-H021",
            expected="the token of one of its readers",
            remedy=f"set the environment variable that token in [sources.{self._name}] names",
        )

    def _changed(self) -> OutsideError:
        return OutsideError(
            f"source {self._name}: the columns of {self._table} changed at the gateway while it was read",
            code="PO-H023",
            expected="the columns of the schema",
            remedy="run again",
            retryable=True,
        )

    def error(self, error: BaseException) -> PayoffError:
        """What a failed call means here."""
        said, name, at = _said(error), self._name, self._options.address
        if said:
            return _theirs(name, said)
        if isinstance(error, flight.FlightUnauthenticatedError):
            return self._wrong_token()
        if isinstance(error, (flight.FlightUnavailableError, flight.FlightTimedOutError)):
            tls = any(word in str(error) for word in ("SSL", "TLS", "handshake", "certificate", "CERTIFICATE"))
            return OutsideError(
                f"source {name}: the gateway at {at} does not answer"
                + (", or not under a certificate that is trusted" if tls else ""),
                code="PO-H024" if tls else "PO-H020",
                expected="a gateway that can be reached"
                + (", and ca = the certificate that signs its own" if tls else ""),
                remedy=f"start it (payoff gateway), or correct [sources.{name}] of payoff.toml",
                retryable=not tls,
            )
        return OutsideError(
            f"source {name}: the connection to the gateway at {at} broke ({type(error).__name__})",
            code="PO-H023",
            expected="the whole table",
            remedy="run again; nothing of what came is used",
            retryable=True,
        )


def _theirs(name: str, said: dict[str, str]) -> PayoffError:
    """A refusal, or another error, in the gateway's own words."""
    refused = said.get("code", "").startswith("PO-F")
    kind = Refused if refused else OutsideError
    return kind(
        f"source {name}: the gateway says: {said.get('what', '')}",
        code=said["code"] if refused else "PO-H022",
        expected=said.get("expected", ""),
        remedy=said.get("remedy", "") or "ask whoever runs the gateway",
    )


def _said(error: BaseException) -> dict[str, str]:
    """What the gateway sent with its error."""
    try:
        found = json.loads(getattr(error, "extra_info", b"") or b"")
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) and "code" in found else {}


class _Said:
    """Failed calls as errors of ours."""

    def __init__(self, source: Gateway) -> None:
        self.source = source

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (pa.ArrowException, flight.FlightError, OSError)):
            raise self.source.error(error) from None
