"""A table or query behind any ADBC driver."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
from typing import TYPE_CHECKING

from payoff.base import lazy
from payoff.base.errors import PayoffError, UserError
from payoff.ports.sql.adbc import AdbcSource

if TYPE_CHECKING:
    from pathlib import Path

    import adbc_driver_manager
else:
    adbc_driver_manager = lazy.Module("adbc_driver_manager")

CAPABILITIES = {"columns": True, "version": False, "sql": True}
_SHOWN = ("uri", "path", "host", "port", "database", "db", "project_id", "account")


@dataclasses.dataclass(frozen=True)
class Options:
    """`driver`: the Python package of the driver (`adbc_driver_sqlite`), a shared library's path, or a name that the driver manager knows.
    `entrypoint`: the library's function, where it is not the usual one. `options`: the driver's own (texts; secrets as `${ENV_VAR}`). `table` (the source's own
    name unless said) in `catalog` and `schema`, or `query`: SQL. `quote`: what the dialect puts around names. `timeout`: seconds that the driver may give nothing (0: any time).
    """

    driver: str
    entrypoint: str = ""
    options: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    table: str = ""
    schema: str = ""
    catalog: str = ""
    query: str = ""
    quote: str = '"'
    timeout: float = 300.0


def connect(name: str, options: Options, root: Path) -> Adbc:
    """A table behind a driver; nothing is loaded yet."""
    return Adbc(name, options, root)


class Adbc(AdbcSource):
    """See `ports.source.Source`."""

    kind = "adbc"
    system = "the driver"

    def __init__(self, name: str, options: Options, root: Path) -> None:
        path = [options.catalog, options.schema, options.table or name]
        secrets = list(options.options.values())
        super().__init__(name, path=path, query=options.query, timeout=options.timeout, secrets=secrets)
        self._options, self._root = options, root

    def address(self) -> str:
        """The driver, and where its options say the data are."""
        shown = [
            re.sub(r"://[^/]*@", "://", value.partition("?")[0])
            for key, value in sorted(self._options.options.items())
            if key.rpartition(".")[2] in _SHOWN
        ]
        return " ".join([self._options.driver, *shown])

    def quoted(self, name: str) -> str:
        """A name between the dialect's signs."""
        sign = self._options.quote
        return sign + name.replace(sign, sign * 2) + sign if sign else name

    def shape(self) -> str:
        """The whole query, of which no row is read: some drivers take types from the first rows."""
        return f"select * from {self.origin()}"

    def database(self) -> adbc_driver_manager.AdbcDatabase:
        """The driver, loaded, with the options as they are."""
        chosen = {"driver": self._library(), **self._options.options}
        if self._options.entrypoint:
            chosen["entrypoint"] = self._options.entrypoint
        return adbc_driver_manager.AdbcDatabase(**chosen)

    def _library(self) -> str:
        driver = self._options.driver
        if re.fullmatch(r"adbc_driver_\w+", driver):
            try:
                return str(importlib.import_module(driver)._driver_path())  # noqa: SLF001 - the one way to a wheel's library
            except ModuleNotFoundError:
                pass
            raise self._no_driver()
        if "/" in driver or driver.endswith((".so", ".dylib", ".dll")):
            if os.path.isfile(self._root / driver):
                return str(self._root / driver)
            raise self._no_driver()
        return driver

    def _no_driver(self) -> PayoffError:
        driver = self._options.driver
        package = driver.replace("_", "-")
        return UserError(
            f"source {self.name}: there is no ADBC driver {driver}",
            code="PO-S051",
            expected="the Python package of a driver, the path of a shared library, or a name that the driver manager knows",
            remedy=f"uv pip install {package}"
            if driver.startswith("adbc_")
            else f"correct driver in [sources.{self.name}] of payoff.toml",
        )

    def told(self, error: Exception, *, reading: bool) -> PayoffError | None:
        """A driver that cannot be loaded is told apart; the rest is every driver's."""
        text = str(error)
        if isinstance(error, adbc_driver_manager.Error) and re.search(
            r"dlopen|dlsym|Could not load|no manifest", text, re.IGNORECASE
        ):
            return self._no_driver()
        return super().told(error, reading=reading)
