"""`payoff data expire`: what is kept for longer than labels permit, and its end.

A version of a table may be kept for so many days after the newest run that had it, as the strictest label of its columns says: each run reads what the source has then, so
that what a run no longer has is no longer there. What was made of it inherits labels, and goes by them. One content that several tables have stays while any of them
may have it. The ledger keeps that it was there, and that it was erased.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from payoff.base.clock import now
from payoff.base.errors import UserError
from payoff.flows.comparing.books import MADE
from payoff.flows.comparing.place import FOLDER
from payoff.flows.data.opened import Catalog
from payoff.records.artifact import Artifact
from payoff.records.catalog import Expiry
from payoff.wiring import assemble

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from payoff.ports.store import Erasing

EVENT = "expired"
_MOST = 1_000_000  # events that are looked through: all there are
What = Literal["table", "predictions", "model"]


def expire(project: str | None, *, erase: bool, models: bool = False) -> Sequence[Expiry]:
    """Everything that is due, the longest overdue first; with `erase` it is gone afterwards."""
    catalog = Catalog(project)
    present = now()
    found: dict[str, tuple[Artifact, Expiry | None]] = {}
    for each in [*_of_journals(catalog), *_of_runs(catalog)]:
        if each.what != "model" or models:
            artifact, due = each.artifact, _due(catalog, each, present)
            before = found.get(artifact.file, (artifact, due))[1]
            # The newest run counts, and of several tables with this content the one that may have it the longest.
            keep = before is None or due is None
            found[artifact.file] = (artifact, None if keep else max(due, before, key=lambda each: each.days - each.age))
    store = catalog.opened.kit.store
    overdue = [
        (artifact, each)
        for artifact, each in found.values()
        if each is not None and each.age > each.days and store.has(artifact)
    ]
    overdue.sort(key=lambda pair: pair[1].days - pair[1].age)
    if not erase:
        return tuple(each for _, each in overdue)
    return tuple(_erase(catalog, artifact, each) for artifact, each in overdue)


class _Kept(msgspec.Struct, frozen=True):
    """Something in the store, the table whose labels it has (all of them, where it is not that table itself), and the run that had it, which
    finished `since`.
    """

    what: What
    table: str
    artifact: Artifact
    run: str
    since: str
    itself: bool = False


def _of_runs(catalog: Catalog) -> Iterator[_Kept]:
    """What runs had."""
    examples = catalog.project.charter.decision.examples
    for record in catalog.records:
        said = (record.run, record.finished)
        for name, artifact in record.tables.items():
            known = name in catalog.names
            yield _Kept("table", name if known else examples, artifact, *said, known)
        for outcome in (*record.steps, *record.stages):
            if outcome.output is not None:
                yield _kept(catalog, outcome.name, outcome.output, *said)
        if record.predictions is not None:
            yield _Kept("predictions", examples, record.predictions, *said)


def _of_journals(catalog: Catalog) -> Iterator[_Kept]:
    """What records do not name: what is the product's own (the holdout, scores), what runs without a record left behind (a kill), what was executed in the
    laboratory. Kept since its run finished, or its file was written.
    """
    opened = catalog.opened
    ledgers = [opened.kit.ledger]
    if (opened.root / FOLDER).is_dir():
        ledgers.append(assemble.ledger(opened.root / FOLDER))
    finished = {record.run: record.finished for record in catalog.records}
    for ledger in ledgers:
        events = [each for event in ("step", MADE) for each in ledger.read(opened.id, event=event, limit=_MOST).events]
        for _, body in events:
            run = str(body.get("run", ""))
            for artifact in _artifacts(body):
                if opened.kit.store.has(artifact):
                    written = dt.datetime.fromtimestamp(opened.kit.store.path(artifact).stat().st_mtime, dt.UTC)
                    since = finished.get(run, written.isoformat())
                    yield _kept(catalog, str(body.get("step", "")), artifact, run, since)


def _artifacts(body: Mapping[str, Any]) -> Iterator[Artifact]:
    """What a finished stage made: its output, and what it says besides (the holdout, beside train)."""
    for each in (body.get("output"), *dict(body.get("extra") or {}).values()):
        if isinstance(each, dict) and {"id", "kind", "file", "bytes"} <= each.keys():
            yield msgspec.convert(each, Artifact)


def _kept(catalog: Catalog, name: str, artifact: Artifact, run: str, since: str) -> _Kept:
    """What a step or a stage made: what is no table of the project's has the labels of the examples."""
    kind, _, table = name.rpartition(":")
    itself = kind in {"", "read", "step"} and table in catalog.names
    known = table if itself else catalog.project.charter.decision.examples
    return _Kept("model" if artifact.kind == "object" else "table", known, artifact, run, since, itself)


def _due(catalog: Catalog, kept: _Kept, present: str) -> Expiry | None:
    """How long it may be kept; None: for ever."""
    labelled, table, artifact = catalog.labelled, kept.table, kept.artifact
    names = [name for name in artifact.columns if kept.itself and (table, name) in labelled.labels]
    limits = {name: labelled.label(table, name).retention for name in names} or {"*": labelled.whole(table).retention}
    strict = {name: days for name, days in limits.items() if days is not None}
    if not strict:
        return None
    column = min(strict, key=lambda name: (strict[name], name))
    age = dt.datetime.fromisoformat(present) - dt.datetime.fromisoformat(kept.since)
    return Expiry(
        what=kept.what,
        table=table,
        version=artifact.id,
        rows=artifact.rows,
        bytes=artifact.bytes,
        last=kept.run,
        since=kept.since,
        days=strict[column],
        age=age.days,
        column=table if column == "*" else f"{table}.{column}",
    )


def _erase(catalog: Catalog, artifact: Artifact, due: Expiry) -> Expiry:
    """Write down that it goes, then erase it: a kill between leaves it to the next call, and never something gone that nobody knows of."""
    kit = catalog.opened.kit
    if not hasattr(kit.store, "erase"):
        raise UserError(
            "this store cannot forget what it keeps",
            code="PO-T010",
            expected="a store that erases, where labels limit how long data is kept",
            remedy="choose another [store] kind, or erase there what payoff data expire lists",
        )
    gone = msgspec.structs.replace(due, erased=True)
    kit.ledger.journal(catalog.opened.id, "", EVENT, {"subject": due.version, "at": now(), **msgspec.to_builtins(gone)})
    cast("Erasing", kit.store).erase(artifact)
    return gone
