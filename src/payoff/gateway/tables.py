"""The tables that are offered, as they are now: sources read anew when they changed, what steps made as the newest run left it."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from payoff.base import hashing
from payoff.base.errors import Refused
from payoff.execute.failures import at_source
from payoff.plan import graph, keys
from payoff.ports.store import was

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from payoff.flows.data.opened import Catalog
    from payoff.gateway.permits import Permit
    from payoff.records.artifact import Artifact
    from payoff.records.run import RunRecord

_RUNS = 100  # newest runs looked through for a table
_KEPT = 64  # files with what readers may have


class Content(NamedTuple):
    """A file with rows of a table. `identity` names them (None: nobody knows whether they changed); who made it `owned` removes it."""

    file: Path
    columns: tuple[str, ...]
    identity: str | None
    owned: bool = False


class Tables:
    """Files in the zone that holds the data, each with what a reader may have of a table. Safe for threads: one table is looked at by one at a time."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._cuts: OrderedDict[str, tuple[str, Path]] = OrderedDict()  # who may have what -> its identity, its file
        self._records: dict[str, RunRecord] = {}

    def schema(self, catalog: Catalog, table: str) -> pa.Schema:
        """All columns of a table, whoever may read them."""
        with self._locked(table):
            if catalog.project.source(table) is not None:
                with at_source(catalog.project, table):
                    return self._source(catalog, table).schema()
            return _opened(catalog.opened.kit.store.path(self.newest(catalog, table)[1]))

    def identity(self, catalog: Catalog, permit: Permit) -> str | None:
        """A name for what a reader may have now; None where it would have to be read to know."""
        with self._locked(permit.table):
            return self._identity(catalog, permit)

    def content(self, catalog: Catalog, permit: Permit, *, whole: bool = False) -> Content:
        """A file with what a reader may have. With `whole` it may have more columns: the caller takes the permitted ones and no other."""
        with self._locked(permit.table):
            identity = self._identity(catalog, permit)
            if catalog.project.source(permit.table) is not None:
                made = self._of_source
            else:
                artifact = self.newest(catalog, permit.table)[1]
                everything = permit.columns == artifact.columns
                if not permit.rows and (whole or everything):
                    return Content(catalog.opened.kit.store.path(artifact), permit.columns, identity)
                made = self._of_step
            slot = hashing.of_json([permit.table, permit.columns, permit.rows])
            with self._guard:
                kept = self._cuts.get(slot)
                if kept is not None and kept[0] == identity:
                    self._cuts.move_to_end(slot)
                    return Content(kept[1], permit.columns, identity)
            file = made(catalog, permit)
            if identity is None:
                return Content(file, permit.columns, None, owned=True)
            self._keep(slot, identity, file)
            return Content(file, permit.columns, identity)

    def newest(self, catalog: Catalog, table: str) -> tuple[RunRecord, Artifact]:
        """The newest run that had the table, and its version; `Refused` where the table is not made yet, or was made under other rules."""
        ledger, store = catalog.opened.kit.ledger, catalog.opened.kit.store
        for summary in ledger.read(catalog.opened.id, limit=_RUNS).summaries:
            if summary.status == "unfinished":
                continue
            if summary.run not in self._records:
                self._records[summary.run] = ledger.read(catalog.opened.id, summary.run).entries[-1].record
            record = self._records[summary.run]
            if table in record.tables:
                artifact = record.tables[table]
                if not store.has(artifact):
                    raise _not_there(f"the newest version of {table} {was(store, artifact)}", table)
                _check_rules(catalog, record, table)
                return record, artifact
        raise _not_there(f"no run has made {table} yet", table)

    def close(self) -> None:
        """Remove what was kept."""
        for _, file in self._cuts.values():
            file.unlink(missing_ok=True)
        self._cuts.clear()

    @contextlib.contextmanager
    def _locked(self, table: str) -> Iterator[None]:
        with self._guard:
            lock = self._locks.setdefault(table, threading.Lock())
        with lock:
            yield

    def _source(self, catalog: Catalog, table: str) -> Any:
        with self._guard:
            return catalog.opened.kit.source(table)

    def _identity(self, catalog: Catalog, permit: Permit) -> str | None:
        if catalog.project.source(permit.table) is None:
            return self.newest(catalog, permit.table)[1].id
        with at_source(catalog.project, permit.table):
            found: str | None = self._source(catalog, permit.table).version()
            return found

    def _of_source(self, catalog: Catalog, permit: Permit) -> Path:
        """Read only what the reader may have."""
        kit = catalog.opened.kit
        raw = kit.store.scratch(f"gateway-{permit.table}")
        with (
            at_source(catalog.project, permit.table),
            self._source(catalog, permit.table).read(permit.columns) as rows,
        ):
            kit.engine.write(rows, raw)
        if not permit.rows:
            return raw
        try:
            return self._cut(catalog, permit, raw)
        finally:
            raw.unlink(missing_ok=True)

    def _of_step(self, catalog: Catalog, permit: Permit) -> Path:
        return self._cut(catalog, permit, catalog.opened.kit.store.path(self.newest(catalog, permit.table)[1]))

    def _cut(self, catalog: Catalog, permit: Permit, raw: Path) -> Path:
        cut = catalog.opened.kit.store.scratch(f"gateway-{permit.table}")
        catalog.opened.kit.engine.transform(permit.select(permit.table), {permit.table: raw}, cut)
        return cut

    def _keep(self, slot: str, identity: str, file: Path) -> None:
        """One version of each is enough; who still reads an older one has it open."""
        with self._guard:
            gone = [self._cuts.pop(slot)] if slot in self._cuts else []
            self._cuts[slot] = (identity, file)
            while len(self._cuts) > _KEPT:
                gone.append(self._cuts.popitem(last=False)[1])
        for _, old in gone:
            old.unlink(missing_ok=True)


def _opened(file: Path) -> pa.Schema:
    with pa.memory_map(str(file)) as stream:
        return pa.ipc.open_file(stream).schema


def _check_rules(catalog: Catalog, record: RunRecord, table: str) -> None:
    """Labels are those of the steps and contracts as they stand: a table made by others could hold what they no longer let through."""
    project = catalog.project
    outcomes = {outcome.name: outcome for outcome in record.steps}
    steps = graph.needed_steps(project, (table,))
    known = catalog.opened.kit.ledger.recall(outcomes[step.name].key for step in steps if step.name in outcomes)
    for step in steps:
        before = known.get(outcomes[step.name].key) if step.name in outcomes else None
        promised = keys.promised(project.contract(step.name))
        facts = before.facts if before is not None else {}
        same = _promises(facts) == _promises(promised)
        if before is None or facts.get("code") != step.code or not same:
            raise _not_there(
                f"{table} was made before {step.name}, or what its contract promises, became what it is", table
            )


def _promises(facts: dict[str, Any]) -> str:
    return hashing.of_json({name: facts.get(name) for name in ("lowering", "depends")})


def _not_there(what: str, table: str) -> Refused:
    return Refused(
        what,
        code="PO-H013",
        expected="a table that a run made of the steps and contracts as they stand",
        remedy=f"have payoff run --only {table} run in the project that holds the data",
    )
