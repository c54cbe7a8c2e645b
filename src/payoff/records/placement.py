"""Where a lazy step runs: the databases that can run queries, and what was decided for each step."""

from __future__ import annotations

import msgspec

from payoff.records.artifact import Field


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How a database reads SQL, as far as it differs from the engine's own dialect. Nothing is taken for granted: what is not said here is not used.

    `name`: sqlglot's name of it. `title`: the product's. `collation` puts texts in the order of their code points (empty: that is their
    order anyway). `functions`: what means the same there, of `payoff.data.push.rules.OPTIONAL`. `dates_are_text`: dates are texts like
    `2026-01-31`. `infinite`: dividing by zero must be spelled out, and infinity is a number; where it is false, only what cannot be zero divides. `inlines`: it takes NOT MATERIALIZED.
    `structs`: `a.b` may be a part of column `a` too. `flat`: common table expressions of a query are written out where they are used (MariaDB forgets
    collations in a WITH inside of a WITH).
    """

    name: str
    title: str
    functions: frozenset[str] = frozenset()
    collation: str = ""
    dates_are_text: bool = False
    infinite: bool = False
    inlines: bool = False
    structs: bool = False
    flat: bool = False


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """A database that can run queries. Tables with the same `id` (a digest of server, database and user; no secret) can be joined there.

    `address` is what people are shown.
    """

    id: str
    address: str
    dialect: Dialect


class Relation(msgspec.Struct, frozen=True, kw_only=True):
    """A source's table as its database can give it: a query whose columns have small letters only, and exactly the values that a read gives.

    `fields` are those columns with the Arrow types that a read gives; columns that the database cannot give so are left out.
    """

    sql: str
    fields: tuple[Field, ...]


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where a lazy step runs.

    `engine` is the dialect of what runs it. `place` is None in the engine here; `because` then says why; `cluster` is the address of the
    cluster that runs it instead. `zone`: the zone of its sources at
    their place, else the project's own (`home`). `sql` is the query as it is sent, `query` as it was written (DuckDB's dialect), `shape` the Arrow schema of its answer,
    serialized. `tables` are the sources that it reads at its place.
    `within` is set for a step that is no table of its own, but part of the queries of those steps.
    """

    step: str
    engine: str
    place: Location | None = None
    zone: str | None = None
    sql: str = ""
    query: str = ""
    shape: bytes = b""
    tables: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    because: str = ""
    cluster: str = ""
