"""What sources behind an ADBC driver have in common: Arrow streams come from the driver as they are."""

from __future__ import annotations

import abc
import contextlib
import re
from typing import TYPE_CHECKING

from payoff.base import lazy
from payoff.ports.sql.source import SqlSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import adbc_driver_manager
    import pyarrow as pa

    from payoff.base.errors import PayoffError
else:  # not the driver's dbapi, which imports pandas and polars where they are installed: a second
    pa, adbc_driver_manager = lazy.Module("pyarrow"), lazy.Module("adbc_driver_manager")

# What drivers say where their status does not: words of many servers and of the network's libraries.
_NO_TABLE = re.compile(
    r"no such table|(table|relation|object|view)\b[^\n]{0,200}?(does not exist|doesn't exist|not found|not exist)"
    r"|not found: (table|dataset)",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"\b401\b|unauthenticated|authentication (failed|token)|incorrect username or password|invalid (oauth|access|bearer)? ?token"
    r"|password authentication failed|no password supplied|invalid_grant|invalid_client|invalid credentials|could not find default credentials",
    re.IGNORECASE,
)
_LATE = re.compile(r"deadline|timed? ?out|timeout", re.IGNORECASE)
_AWAY = re.compile(
    r"\bunavailable\b|connection (refused|reset|error)|connection to server|could not (connect|translate)|no such host|dial tcp"
    r"|unexpected eof|broken pipe|closed the connection|connection (was )?closed|server misbehaving|transport|failed to open"
    r"|\b50[0-4]\b|\bEOF\b|no connection to the server|ssl syscall",
    re.IGNORECASE,
)


class AdbcSource(SqlSource):
    """A source of SQL behind an ADBC driver. An adapter gives `database()`, and says more of the errors where it knows more."""

    @abc.abstractmethod
    def database(self) -> adbc_driver_manager.AdbcDatabase:
        """The driver with address and credentials."""

    def connection_options(self) -> Mapping[str, str]:
        """Options of the driver for a connection."""
        return {}

    def statement_options(self) -> Mapping[str, str | int]:
        """Options of the driver for a query."""
        return {}

    @contextlib.contextmanager
    def connected(self) -> Iterator[adbc_driver_manager.AdbcConnection]:
        """A connection of its own."""
        with (
            self.database() as database,
            adbc_driver_manager.AdbcConnection(database, **self.connection_options()) as connection,
        ):
            yield connection

    @contextlib.contextmanager
    def opened(self, sql: str) -> Iterator[pa.RecordBatchReader]:
        """The driver's stream."""
        with self.connected() as connection, self.answer(connection, sql) as reader:
            yield reader

    @contextlib.contextmanager
    def answer(self, connection: adbc_driver_manager.AdbcConnection, sql: str) -> Iterator[pa.RecordBatchReader]:
        """The answer to one query."""
        with adbc_driver_manager.AdbcStatement(connection) as statement:
            if options := self.statement_options():
                statement.set_options(**options)
            statement.set_sql_query(sql)
            with pa.RecordBatchReader.from_stream(statement.execute_query()[0]) as reader:
                yield reader

    def told(self, error: Exception, *, reading: bool) -> PayoffError | None:
        """By the driver's status first, then by what it says."""
        if not isinstance(error, adbc_driver_manager.Error | pa.ArrowException | OSError):
            return None
        text = str(error)
        status = getattr(getattr(error, "status_code", None), "name", "")
        if status == "UNAUTHENTICATED" or _REFUSED.search(text):
            return self.refused()
        if _NO_TABLE.search(text):
            return self.no_table()
        if status == "TIMEOUT" or _LATE.search(text):
            return self.slow()
        if status in ("IO", "CANCELLED") or _AWAY.search(text) or (reading and isinstance(error, OSError)):
            return self.broke() if reading else self.unreachable()
        return self.wrong(text)
