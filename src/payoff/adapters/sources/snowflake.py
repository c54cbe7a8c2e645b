"""A table or query of Snowflake, streamed as Arrow batches."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from payoff.base import lazy
from payoff.base.errors import PayoffError, UserError
from payoff.ports.sql.adbc import AdbcSource

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import adbc_driver_manager
    import adbc_driver_snowflake
    import pyarrow as pa
else:
    pa, adbc_driver_manager = lazy.Module("pyarrow"), lazy.Module("adbc_driver_manager")
    adbc_driver_snowflake = lazy.Module("adbc_driver_snowflake")

CAPABILITIES = {"columns": True, "version": True, "sql": True}
_PREFIX = "adbc.snowflake.sql."
_CODE = re.compile(r"\b(\d{6}) \((\w{5})\)")
_FOLDED = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


@dataclasses.dataclass(frozen=True)
class Options:
    """`account` (`organisation-account`), `user`, and one of `password`, `token` (a programmatic access token) and `private_key` (a file in PKCS#8 PEM format, with
    `passphrase` when it is encrypted); secrets best as `${ENV_VAR}` references. `warehouse`, `role`, `database`, `schema`. `table` (the source's own name unless said; a name
    without quotes is folded to upper case, as in Snowflake's SQL), or `query`: SQL. `integers`: NUMBER without decimals comes as int64, false: as decimal. `host`, `port`, `protocol`: of a
    private link. `timeout`: seconds that the server may send nothing (0: any time).
    """

    account: str
    user: str
    password: str = dataclasses.field(default="", repr=False)
    token: str = dataclasses.field(default="", repr=False)
    private_key: str = ""
    passphrase: str = dataclasses.field(default="", repr=False)
    warehouse: str = ""
    role: str = ""
    database: str = ""
    schema: str = ""
    table: str = ""
    query: str = ""
    integers: bool = True
    host: str = ""
    port: int = 0
    protocol: str = ""
    timeout: float = 300.0


def connect(name: str, options: Options, root: Path) -> Snowflake:
    """A table in Snowflake; no connection is made yet."""
    return Snowflake(name, options, root)


class Snowflake(AdbcSource):
    """See `ports.source.Source`."""

    kind = "snowflake"
    system = "Snowflake"
    dialect = "snowflake"

    def __init__(self, name: str, options: Options, root: Path) -> None:
        path = [options.database, options.schema or ("PUBLIC" if options.database else ""), options.table or name]
        secrets = [options.password, options.token, options.passphrase]
        super().__init__(name, path=path, query=options.query, timeout=options.timeout, secrets=secrets)
        self._options, self._root = options, root

    def address(self) -> str:
        """Account, database and schema."""
        given = self._options
        return "/".join(part for part in (given.account, given.database, given.schema) if part)

    def origin(self) -> str:
        """Plain names as they are, so that Snowflake folds them; others in quotes."""
        if self.query:
            return super().origin()
        return ".".join(
            part if _FOLDED.fullmatch(part) or part.startswith('"') else self.quoted(part) for part in self.path
        )

    def version(self) -> str | None:
        """Snowflake's own token of a table's or view's last change; None for a query, and where Snowflake has none."""
        if self.query:
            return None
        named = self.origin().replace("'", "''")
        try:
            token = self.answer_to(f"select system$last_change_commit_time('{named}') as token").column(0)[0].as_py()
        except UserError as error:
            if error.code == "PO-S043":
                return None
            raise
        return None if token is None else str(token)

    def tables(self) -> list[str]:
        """The tables and views of the schema."""
        schema = (self._options.schema or "PUBLIC").strip('"').replace("'", "''")
        where = f"{self.path[0]}." if len(self.path) > 1 else ""
        listed = (
            f"select table_name from {where}information_schema.tables where upper(table_schema) = upper('{schema}')"
        )
        with self.opened(listed) as reader:
            return [str(name) for name in reader.read_all().column(0).to_pylist()]

    def plain(self, field: pa.Field) -> pa.DataType:
        """Whole numbers are NUMBER(38, 0) unless declared otherwise: they come as int64, and one that does not fit is refused."""
        kind = super().plain(field)
        return pa.int64() if self._options.integers and pa.types.is_decimal(kind) and kind.scale == 0 else kind

    def database(self) -> adbc_driver_manager.AdbcDatabase:
        """Account, credentials and place."""
        given = self._options
        chosen = {
            "account": given.account,
            "warehouse": given.warehouse,
            "role": given.role,
            "db": given.database,
            "schema": given.schema,
            "uri.host": given.host,
            "uri.port": str(given.port or ""),
            "uri.protocol": given.protocol,
            "client_option.app_name": "payoff",
            "client_option.disable_telemetry": "true",
            "client_option.max_timestamp_precision": "microseconds",
            **self._credentials(),
        }
        if given.timeout:
            for what in ("login", "request", "client"):
                chosen[f"client_option.{what}_timeout"] = f"{given.timeout:g}s"
        options = {_PREFIX + key: value for key, value in chosen.items() if value}
        return adbc_driver_snowflake.connect(
            db_kwargs={"username": given.user, **({"password": given.password} if given.password else {}), **options}
        )

    def statement_options(self) -> Mapping[str, str | int]:
        """Few batches under way: the driver's own choice is two hundred."""
        return {"adbc.rpc.result_queue_size": "4", "adbc.snowflake.rpc.prefetch_concurrency": "2"}

    def _credentials(self) -> dict[str, str]:
        given = self._options
        if given.token:
            return {"auth_type": "auth_pat", "client_option.auth_token": given.token}
        if not given.private_key:
            return {}
        key = {"client_option.jwt_private_key_pkcs8_value": self._key(), "auth_type": "auth_jwt"}
        return key | ({"client_option.jwt_private_key_pkcs8_password": given.passphrase} if given.passphrase else {})

    def _key(self) -> str:
        try:
            return (self._root / self._options.private_key).read_text(encoding="ascii")
        except (OSError, ValueError):
            pass
        raise UserError(
            f"source {self.name}: {self._options.private_key} cannot be read",
            code="PO-S052",
            expected="a private key in PKCS#8 PEM format",
            remedy=f"put it there, or correct private_key in [sources.{self.name}] of payoff.toml",
        )

    def told(self, error: Exception, *, reading: bool) -> PayoffError | None:
        """By Snowflake's own number; the driver's status says IO for everything."""
        if isinstance(error, adbc_driver_manager.Error | pa.ArrowException | OSError) and (
            found := _CODE.search(str(error))
        ):
            code, state = found.groups()
            if code.startswith(("390", "394")):
                return self.refused()
            if state == "42S02" or code == "002003":
                return self.no_table()
            if state[:2] not in ("08", "57"):
                return self.wrong(str(error)[found.end() :].partition("Vendor code:")[0].lstrip(" :"))
        return super().told(error, reading=reading)
