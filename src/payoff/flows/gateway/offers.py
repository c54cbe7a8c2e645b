"""What the gateway of a project offers: its readers, and the catalog as the project's files say it now."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from payoff.base import files, hashing
from payoff.base.errors import UserError, Where
from payoff.base.text import did_you_mean
from payoff.flows.data.opened import Catalog
from payoff.flows.opening import root_of
from payoff.flows.unchanged import Stamps, stamp
from payoff.wiring import options

if TYPE_CHECKING:
    from payoff.records.project import GatewaySpec, ReaderSpec

LEAST = 16  # characters of a token
_KEY = Path(".payoff", "gateway.key")


@dataclasses.dataclass(frozen=True)
class _Token:
    token: str


class Offers:
    """A project's catalog, opened again when its files changed: a rule that became stricter holds from the next request on."""

    def __init__(self, project: str | None) -> None:
        self.root = root_of(project)
        self._lock = threading.Lock()
        self._stamps: Stamps = {}
        self._catalog: Catalog | None = None
        self._tokens: dict[str, str] = {}
        self.key = files.secret(self.root / _KEY)
        self.spec = self.catalog().project.gateway
        self._check()

    def catalog(self) -> Catalog:
        """The catalog of now, its labels worked out. Whatever is wrong with the project is raised: then nothing is served."""
        with self._lock:
            if self._catalog is not None and self._now(self._catalog) == self._stamps:
                return self._catalog
            self._catalog = None
            found = Catalog(str(self.root))
            stamps = self._now(found)
            _ = found.labelled
            self._tokens = {each.name: _token(each) for each in found.project.gateway.readers}
            self._stamps, self._catalog = stamps, found
            return found

    def reader(self, token: str) -> ReaderSpec | None:
        """Whose token this is. Every reader's is compared, in a time that tells nothing."""
        spec = self.catalog().project.gateway
        right = [each for each in spec.readers if hashing.same(self._tokens[each.name], token)]
        return right[0] if right else None

    def named(self, name: str) -> ReaderSpec | None:
        """The reader of that name, as the project has it now."""
        return next((each for each in self.catalog().project.gateway.readers if each.name == name), None)

    def _now(self, catalog: Catalog) -> Stamps:
        project = catalog.project
        paths = {str(self.root / name) for name in project.files}
        paths |= {str(Path(path).parent) for path in paths if Path(path).parent != self.root}
        return stamp(sorted(paths | {str(self.root / name) for name in ("contracts", "sql", "payoff.toml")}))

    def _check(self) -> None:
        """What can be known to be wrong before anybody asks."""
        names = self.catalog().names
        spec = self.spec
        for table in spec.tables:
            _is_one(table, names, "[gateway] tables", Where("payoff.toml"))
        for reader in spec.readers:
            where = Where("payoff.toml", reader.line)
            for table in (*(reader.tables or ()), *reader.rows):
                _is_one(table, spec.tables, f"[gateway.readers.{reader.name}]", where)
        if not spec.tables or not spec.readers:
            raise UserError(
                f"the gateway has no {'table to offer' if not spec.tables else 'reader'}",
                code="PO-H001",
                expected="[gateway] tables = [...] and at least one [gateway.readers.NAME] in payoff.toml",
                remedy="write them into payoff.toml (docs/gateway.md), then: payoff gateway",
                where=Where("payoff.toml"),
            )
        _check_tokens(spec, self._tokens)


def _is_one(table: str, known: tuple[str, ...], title: str, where: Where) -> None:
    if table not in known:
        raise UserError(
            f"{title} names {table!r}, which is not {'a table' if title.endswith('tables') else 'offered'}",
            code="PO-H001",
            expected=did_you_mean(table, known),
            remedy="correct the name in payoff.toml; payoff data ls lists all tables",
            where=where,
        )


def _token(reader: ReaderSpec) -> str:
    where = Where("payoff.toml", reader.line)
    made: _Token = options.build(_Token, {"token": reader.token}, title=f"[gateway.readers.{reader.name}]", where=where)
    return made.token


def _check_tokens(spec: GatewaySpec, tokens: dict[str, str]) -> None:
    for reader in spec.readers:
        token = tokens[reader.name]
        twice = [name for name, other in tokens.items() if name != reader.name and other == token]
        if len(token) < LEAST or twice:
            raise UserError(
                f"the token of reader {reader.name!r} is "
                + (f"that of {twice[0]!r}, too" if twice else f"shorter than {LEAST} characters"),
                code="PO-H002",
                expected="a long random text of its own for each reader",
                remedy=f"set {reader.token[2:-1]} to the output of: openssl rand -hex 32",
                where=Where("payoff.toml", reader.line),
            )
