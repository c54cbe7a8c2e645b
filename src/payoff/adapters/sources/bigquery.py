"""A table or query of Google BigQuery, streamed as Arrow batches."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from payoff.base import lazy
from payoff.base.errors import PayoffError, UserError
from payoff.ports.sql.adbc import AdbcSource

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import adbc_driver_bigquery
    import adbc_driver_manager
else:
    adbc_driver_manager, adbc_driver_bigquery = lazy.Module("adbc_driver_manager"), lazy.Module("adbc_driver_bigquery")

CAPABILITIES = {"columns": True, "version": False, "sql": True}
_PREFIX = "adbc.bigquery.sql."


@dataclasses.dataclass(frozen=True)
class Options:
    """`project` (billed), `dataset`, `table` (the source's own name unless said; `other-project.dataset.table` leads elsewhere), or `query`: SQL. `credentials`: the file of a service
    account's key, or `credentials_json`: its content, as a `${ENV_VAR}` reference; without both, the application default credentials of the machine. `location`: where
    queries run. `max_bytes`: a query that would be billed for more is refused by BigQuery (0: none is). `timeout`: seconds that the server may send nothing (0: any time).
    """

    project: str
    dataset: str = ""
    table: str = ""
    query: str = ""
    credentials: str = ""
    credentials_json: str = dataclasses.field(default="", repr=False)
    location: str = ""
    max_bytes: int = 0
    timeout: float = 300.0


def connect(name: str, options: Options, root: Path) -> BigQuery:
    """A table in BigQuery; no connection is made yet."""
    return BigQuery(name, options, root)


class BigQuery(AdbcSource):
    """See `ports.source.Source`."""

    kind = "bigquery"
    system = "BigQuery"
    dialect = "bigquery"

    def __init__(self, name: str, options: Options, root: Path) -> None:
        table = (options.table or name).split(".")
        path = {1: [options.project, options.dataset, *table], 2: [options.project, *table]}.get(len(table), table)
        super().__init__(
            name, path=path, query=options.query, timeout=options.timeout, secrets=[options.credentials_json]
        )
        self._options, self._root = options, root

    def address(self) -> str:
        """Project and dataset."""
        return ".".join(part for part in (self._options.project, self._options.dataset) if part)

    def quoted(self, name: str) -> str:
        """A name in backticks."""
        return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"

    def tables(self) -> list[str]:
        """The tables and views of the dataset."""
        dataset = ".".join(self.quoted(part) for part in self.path[:-1])
        with self.opened(f"select table_name from {dataset}.INFORMATION_SCHEMA.TABLES") as reader:
            return [str(name) for name in reader.read_all().column(0).to_pylist()]

    def database(self) -> adbc_driver_manager.AdbcDatabase:
        """Project and credentials."""
        given = self._options
        chosen = {"project_id": given.project, "dataset_id": given.dataset, "location": given.location}
        key = given.credentials_json or (self._file() if given.credentials else "")
        if key:
            chosen |= {"auth_type": _PREFIX + "auth_type.json_credential_string", "auth_credentials": self._whole(key)}
        else:
            chosen |= {"auth_type": _PREFIX + "auth_type.auth_bigquery"}
        return adbc_driver_bigquery.connect(db_kwargs={_PREFIX + key: value for key, value in chosen.items() if value})

    def statement_options(self) -> Mapping[str, str | int]:
        """Few batches under way: the driver's own choice is two hundred. What is asked may not cost more than said."""
        chosen = {"result_buffer_size": 4, "prefetch_concurrency": 2}
        if self._options.max_bytes:
            chosen["max_bytes_billed"] = self._options.max_bytes
        return {f"{_PREFIX}query.{key}": value for key, value in chosen.items()}

    def _file(self) -> str:
        try:
            return (self._root / self._options.credentials).read_text(encoding="utf-8")
        except (OSError, ValueError):
            pass
        raise UserError(
            f"source {self.name}: {self._options.credentials} cannot be read",
            code="PO-S052",
            expected="a service account's key in JSON",
            remedy=f"put it there, or correct credentials in [sources.{self.name}] of payoff.toml",
        )

    def _whole(self, text: str) -> str:
        try:
            key = json.loads(text)
        except ValueError:
            key = None
        if isinstance(key, dict) and key.get("type"):
            self._secrets = [
                text,
                *(
                    str(value)
                    for name, value in key.items()
                    if name in ("private_key", "client_secret", "refresh_token")
                ),
            ]
            return text
        raise UserError(
            f"source {self.name}: its credentials are no key of BigQuery",
            code="PO-S048",
            expected="the JSON text of a service account's key, with type and private_key",
            remedy=f"check credentials in [sources.{self.name}] of payoff.toml, or the environment variable that credentials_json refers to",
        )

    def told(self, error: Exception, *, reading: bool) -> PayoffError | None:
        """A key that Google does not take is told by the first call that needs a token."""
        if "cannot fetch token: 4" in str(error) or "private key should be a PEM" in str(error):
            return self.refused()
        return super().told(error, reading=reading)
