"""Queries on this machine: as they are written, or in passes where they do not fit into the engine's memory."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from payoff.base.errors import OutsideError, PayoffError
from payoff.data.names import column as quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from payoff.data.spill.stages import Stage
    from payoff.ports.engine import Engine
    from payoff.ports.store import Store

NO_MEMORY = "PO-E004"
_PASSES = (8, 64)  # tried one after the other
_BOUNDS = "payoff_bounds"
_SHOWN = 3  # parts of a query that an error names


def transform(engine: Engine, store: Store, sql: str, tables: Mapping[str, Path], output: Path) -> None:
    """Run a query into a file. One that does not fit into memory is taken apart; when that does not help either, the error names the parts
    that hold in memory what they have seen.
    """
    try:
        engine.transform(sql, tables, output)
        return
    except OutsideError as error:
        if error.code != NO_MEMORY:
            raise
        short = error
    from payoff.data.spill.stages import stages  # only where memory is short

    found = stages(sql, tables)
    if not any(stage.cut or stage.sort for stage in found) and len(found) < 2:
        raise _explained(short, sql) from None
    scratch = _Scratch(engine, store, dict(tables))
    try:
        scratch.run(found, sql, output)
    except PayoffError as error:
        if isinstance(error, OutsideError) and error.code != NO_MEMORY:  # a full disk, say
            raise
        raise _explained(short, sql) from None  # whatever was said of a part of the query: as a whole it did not fit
    finally:
        scratch.clear()


class _Scratch:
    """Runs stages, each over the tables and the answers of those before it, and removes what is not the answer."""

    def __init__(self, engine: Engine, store: Store, tables: dict[str, Path]) -> None:
        self.engine = engine
        self.store = store
        self.tables = tables
        self.made: list[Path] = []

    def new(self, name: str) -> Path:
        self.made.append(self.store.scratch(f"part-{name}"))
        return self.made[-1]

    def run(self, found: tuple[Stage, ...], sql: str, output: Path) -> None:
        shapes = {name: self._schema(name) for name in self.tables}
        schema = self.engine.columns(sql, shapes)
        for stage in found:
            target = self.new(stage.name) if stage.name else output
            self.stage(stage, target)
            self.tables[stage.name] = target
        self.tables["answer"] = output
        if not self._schema("answer").equals(schema):
            output.unlink(missing_ok=True)
            raise OutsideError(
                "the query in parts has other columns",
                code=NO_MEMORY,
                remedy="name each column of the query: x as name",
            )

    def _schema(self, table: str) -> Any:
        return self.engine.query(f"select * from {quoted(table)} limit 0", {table: self.tables[table]}).schema

    def stage(self, stage: Stage, target: Path) -> None:
        for count in (0, *_PASSES):
            if count and not stage.cut and not stage.sort:
                break
            try:
                if count:
                    self.passes(stage, count, target)
                else:
                    self.engine.transform(stage.sql, self.tables, target)
                return
            except OutsideError as error:
                if error.code != NO_MEMORY:
                    raise
                short = error
        raise short

    def passes(self, stage: Stage, count: int, target: Path) -> None:
        """Some of the groups, or a range of the sorted rows at a time; the answers one below the other."""
        parts, tables = {}, dict(self.tables)
        queries = stage.passes(count)
        if stage.sort:
            key = stage.sort.key or self._schema(stage.sort.table).names[stage.sort.place]
            bounds = self.new(_BOUNDS)
            self.engine.transform(stage.sort.bounds(key, count), tables, bounds)
            tables[_BOUNDS] = bounds
            queries = stage.sort.passes(key, count, _BOUNDS)
        for number, sql in enumerate(queries):
            parts[f"p{number}"] = self.new(f"{stage.name}-{number}")
            self.engine.transform(sql, tables, parts[f"p{number}"])
        self.engine.transform(" union all ".join(f"select * from {name}" for name in parts), parts, target)
        for part in parts.values():
            part.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove what is left of the parts."""
        for path in self.made:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _explained(short: OutsideError, sql: str) -> OutsideError:
    """The same error, with the parts of the query that cannot be written to disk."""
    from payoff.data.spill.stages import kept

    parts = kept(sql)
    if not parts:
        return short
    shown = ", ".join(parts[:_SHOWN]) + (f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else "")
    return OutsideError(
        f"{short.what}: {shown} holds all its values in memory",
        code=NO_MEMORY,
        expected="aggregates whose state stays small (count, sum, min, max, avg, count(distinct)), or few values in each group",
        remedy="group by more columns first, or aggregate less in this step; or give the engine more: memory_limit in [engine] of payoff.toml",
    )
