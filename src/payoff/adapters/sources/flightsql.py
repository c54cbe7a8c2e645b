"""A table or query of an Arrow Flight SQL server."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from payoff.base import lazy
from payoff.base.errors import PayoffError, UserError
from payoff.ports.sql.adbc import AdbcSource

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import adbc_driver_flightsql
    import adbc_driver_manager
else:
    adbc_driver_manager, adbc_driver_flightsql = (
        lazy.Module("adbc_driver_manager"),
        lazy.Module("adbc_driver_flightsql"),
    )

_STATUS = re.compile(r" \((\w+); (?:DoGet|GetFlightInfo)")
CAPABILITIES = {"columns": True, "version": False, "sql": True}


@dataclasses.dataclass(frozen=True)
class Options:
    """`uri`: `grpc+tls://host:port`, or `grpc+tcp://host:port` without encryption. `token` (a bearer token), or `user` and `password`, best as `${ENV_VAR}` references.
    `ca`: a file with the authorities that are trusted instead of the system's. `certificate` and `key`: files by which the server knows this client. `table` (the source's own
    name unless said) in `catalog` and `schema`, or `query`: SQL. `quote`: what the server's dialect puts around names. `timeout`: seconds that the server may send nothing (0: any time).
    """

    uri: str = dataclasses.field(repr=False)
    token: str = dataclasses.field(default="", repr=False)
    user: str = ""
    password: str = dataclasses.field(default="", repr=False)
    ca: str = ""
    certificate: str = ""
    key: str = ""
    table: str = ""
    schema: str = ""
    catalog: str = ""
    query: str = ""
    quote: str = '"'
    timeout: float = 300.0


def connect(name: str, options: Options, root: Path) -> FlightSql:
    """A table of a Flight SQL server; no connection is made yet."""
    return FlightSql(name, options, root)


class FlightSql(AdbcSource):
    """See `ports.source.Source`."""

    kind = "flightsql"
    system = "the Flight SQL server"

    def __init__(self, name: str, options: Options, root: Path) -> None:
        if not _address(options.uri):
            raise UserError(
                f"source {name}: uri is no address of a Flight SQL server",
                code="PO-S048",
                expected="grpc+tls://host:port or grpc+tcp://host:port; user and password have keys of their own",
                remedy=f"correct uri in [sources.{name}] of payoff.toml",
            )
        path = [options.catalog, options.schema, options.table or name]
        secrets = [options.token, options.password]
        super().__init__(name, path=path, query=options.query, timeout=options.timeout, secrets=secrets)
        self._options, self._root = options, root

    def address(self) -> str:
        """Scheme, host and port."""
        return self._options.uri

    def quoted(self, name: str) -> str:
        """A name between the dialect's signs."""
        sign = self._options.quote
        return sign + name.replace(sign, sign * 2) + sign if sign else name

    def database(self) -> adbc_driver_manager.AdbcDatabase:
        """Address, credentials and trust."""
        given, chosen = self._options, {}
        if given.token:
            chosen["adbc.flight.sql.authorization_header"] = f"Bearer {given.token}"
        elif given.user:
            chosen |= {"username": given.user, "password": given.password}
        for key, file in (
            ("tls_root_certs", given.ca),
            ("mtls_cert_chain", given.certificate),
            ("mtls_private_key", given.key),
        ):
            if file:
                chosen[f"adbc.flight.sql.client_option.{key}"] = self._content(file)
        if given.timeout:
            for what in ("fetch", "query", "connect"):
                chosen[f"adbc.flight.sql.rpc.timeout_seconds.{what}"] = str(float(given.timeout))
        return adbc_driver_flightsql.connect(given.uri, chosen)

    def statement_options(self) -> Mapping[str, str | int]:
        """Few batches under way."""
        return {"adbc.rpc.result_queue_size": "2"}

    def _content(self, file: str) -> str:
        try:
            return (self._root / file).read_text(encoding="ascii")
        except (OSError, ValueError):
            pass
        raise self.no_certificate(file)

    def told(self, error: Exception, *, reading: bool) -> PayoffError | None:
        """By gRPC's status, which the driver puts behind the server's words."""
        if not isinstance(error, OSError) or not (found := _STATUS.search(str(error))):
            return self.changed("") if "inconsistent schema" in str(error) else super().told(error, reading=reading)
        if found[1] in ("Unavailable", "Canceled", "Aborted"):
            return self.broke() if reading else self.unreachable()
        if found[1] in ("Unknown", "Internal", "InvalidArgument", "FailedPrecondition"):
            return self.wrong(str(error)[: found.start()].partition(". Detail:")[0])
        return super().told(error, reading=reading)

    def no_certificate(self, file: str) -> PayoffError:
        """A file of the encryption is not there."""
        return UserError(
            f"source {self.name}: {file} cannot be read",
            code="PO-S052",
            expected="a file in PEM format",
            remedy=f"put it there, or correct its name in [sources.{self.name}] of payoff.toml",
        )


def _address(uri: str) -> bool:
    parts = urlsplit(uri)
    return parts.scheme in ("grpc", "grpc+tcp", "grpc+tls") and bool(parts.hostname) and "@" not in parts.netloc
