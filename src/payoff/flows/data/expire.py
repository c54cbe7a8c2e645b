"""`payoff data expire`: what is kept for longer than labels permit, and its end.

A version of a table may be kept for so many days after the newest run that had it, as the strictest label of its columns says: each run reads what the source has then, so
that what a run no longer has is no longer there. What contracts said when the run was made holds as well as what they say now: the shorter time. What was made of it inherits labels, and goes by them. One content that several tables have stays while any of them
may have it. The ledger keeps that it was there, and that it was erased. Files of the log of predictions go by their first row; a server removes its own, this those of servers that are gone.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from payoff.base.clock import now
from payoff.base.errors import UserError
from payoff.base.text import count
from payoff.execute.logged import files as logged
from payoff.execute.streams.landed import Landed
from payoff.flows.comparing.books import MADE
from payoff.flows.comparing.place import FOLDER
from payoff.flows.data.opened import Catalog
from payoff.flows.watching import limited, who
from payoff.records.artifact import Artifact
from payoff.records.catalog import Expiry
from payoff.records.finding import Finding
from payoff.wiring import assemble

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from payoff.ports.store import Erasing
    from payoff.records.label import Label
    from payoff.records.run import RunRecord

EVENT = "expired"
_MOST = 1_000_000_000  # runs and events that are looked through: all there are
What = Literal["table", "predictions", "model", "landed", "log"]


def expire(project: str | None, *, erase: bool, models: bool = False) -> Sequence[Expiry]:
    """Everything that is due, the longest overdue first; with `erase` it is gone afterwards."""
    catalog = Catalog(project)
    overdue = due(catalog, models=models)
    if not erase:
        return tuple(each for _, each in overdue)
    catalog.opened.kit.store.scratch("expire")  # removes what killed processes left half-written
    return tuple(_erase(catalog, artifact, each) for artifact, each in overdue)


def due(catalog: Catalog, *, models: bool = False) -> list[tuple[Artifact | None, Expiry]]:
    """What is kept for longer than labels permit, the longest overdue first. None in place of an artifact: rows that a stream has landed, a file of the log of predictions."""
    present = now()
    found: dict[str, dict[tuple[str, str], _Kept]] = {}
    for each in _kept_by(catalog):
        if each.what != "model" or models:
            same = found.setdefault(each.artifact.file, {})
            before = same.get((each.what, each.table))
            same[each.what, each.table] = each if before is None else before.and_later(each)
    ends = [(next(iter(same.values())).artifact, _longest(catalog, same.values(), present)) for same in found.values()]
    store = catalog.opened.kit.store
    overdue: list[tuple[Artifact | None, Expiry]] = [
        (artifact, each) for artifact, each in ends if each is not None and each.age > each.days and store.has(artifact)
    ]
    overdue += [(None, each) for each in (*_landed(catalog, present), *_logged(catalog, present))]
    return sorted(overdue, key=lambda pair: pair[1].days - pair[1].age)


def _longest(catalog: Catalog, same: Iterable[_Kept], present: str) -> Expiry | None:
    """Of several tables with one content that one which may have it the longest; None: one of them may for ever."""
    limits = [_due(catalog, each, present) for each in same]
    known = [each for each in limits if each is not None]
    if len(known) < len(limits):
        return None
    # Of those alike the one that says the most of what it is.
    return max(known, key=lambda each: (each.days - each.age, each.what == "predictions", "." in each.column))


def warnings(catalog: Catalog) -> tuple[Finding, ...]:
    """That something is overdue, as one warning of `payoff check` and `payoff run`."""
    if not limited(catalog.project):
        return ()
    overdue = [each for _, each in due(catalog)]
    if not overdue:
        return ()
    first = overdue[0]
    more = f", and {count(len(overdue) - 1, 'other thing')} for too long" if overdue[1:] else ""
    return (
        Finding(
            code="PO-F040",
            severity="warning",
            what=f"{first.table} ({first.what}) is kept for {count(first.age, 'day')}, and {first.column} permits {first.days}{more}",
            expected="nothing that is kept for longer than its labels permit",
            try_="payoff data expire lists it; payoff data expire --yes erases it",
        ),
    )


def _landed(catalog: Catalog, present: str) -> Iterator[Expiry]:
    """Rows that streams have landed, by the times of their messages."""
    for source in catalog.project.sources:
        landed = catalog.opened.kit.source(source.table)
        strict = _strictest(catalog, source.table)
        if strict is None or not isinstance(landed, Landed):
            continue
        column, days = strict
        moment = dt.datetime.fromisoformat(present)
        rows, oldest = landed.older(_micros(moment - dt.timedelta(days=days + 1)))
        if rows:
            since = dt.datetime.fromtimestamp((oldest or 0) / 1e6, dt.UTC)
            yield Expiry(
                what="landed",
                table=source.table,
                version="",
                rows=rows,
                bytes=0,
                last="",
                since=since.isoformat(),
                days=days,
                age=(moment - since).days,
                column=column,
            )


def _logged(catalog: Catalog, present: str) -> Iterator[Expiry]:
    """Files of the log of predictions that nobody writes to. What they say themselves holds, and what contracts say now of the columns in them."""
    examples, labelled = catalog.project.charter.decision.examples, catalog.labelled
    moment = dt.datetime.fromisoformat(present)
    for folder in logged.versions(catalog.opened.root):
        for each in logged.files(folder):
            limits = {
                name: labelled.label(examples, name).retention
                for name in each.columns
                if (examples, name) in labelled.labels
            }
            if not each.columns:  # it has no inputs, or nothing of it can be read
                limits["*"] = labelled.whole(examples).retention if each.days is None else None
            strict = {f"{examples}.{name}": days for name, days in limits.items() if days is not None}
            if each.days is not None:
                strict.setdefault("the log", each.days)
            if not strict:
                continue
            column = min(strict, key=lambda name: (strict[name], name == "the log", name))
            if each.is_due(strict[column], _micros(moment)):
                since = dt.datetime.fromtimestamp(each.first / 1e6, dt.UTC)
                yield Expiry(
                    what="log",
                    table=examples,
                    version=f"{folder.name}/{each.path.name}",
                    rows=each.rows,
                    bytes=each.bytes,
                    last=each.run or folder.name,
                    since=since.isoformat(),
                    days=strict[column],
                    age=(moment - since).days,
                    column=column.removesuffix(".*"),
                )


def _strictest(catalog: Catalog, table: str) -> tuple[str, int] | None:
    """The column of a table that may be kept the shortest, and how many days."""
    labelled = catalog.labelled
    limits = {name: labelled.label(table, name).retention for name in labelled.columns.get(table, ())}
    strict = {name: days for name, days in limits.items() if days is not None}
    if not strict:
        return None
    column = min(strict, key=lambda name: (strict[name], name))
    return (table if column == "*" else f"{table}.{column}"), strict[column]


def _micros(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1e6)


class _Kept(msgspec.Struct, frozen=True):
    """Something in the store, the table whose labels it has (all of them, where it is not that table itself), and the run that had it, which
    finished `since`. `promised`: column -> for how many days, by what held when it was made.
    """

    what: What
    table: str
    artifact: Artifact
    run: str
    since: str
    itself: bool = False
    promised: Mapping[str, int] = {}

    def under(self, labels: Mapping[str, Mapping[str, Label]]) -> _Kept:
        """The same, with the labels of the run that had it."""
        mine = set(self.artifact.columns) if self.itself else None
        limits = {name: each.retention for name, each in labels.get(self.table, {}).items()}
        kept = {name: days for name, days in limits.items() if days is not None and (mine is None or name in mine)}
        return msgspec.structs.replace(self, promised=kept)

    def and_later(self, other: _Kept) -> _Kept:
        """The same content of the same table in two runs: it was there in the later one, and what was promised in either holds."""
        newer = max(self, other, key=lambda each: each.since)
        names = self.promised.keys() | other.promised.keys()
        least = {n: min(each.promised[n] for each in (self, other) if n in each.promised) for n in names}
        return msgspec.structs.replace(newer, itself=self.itself or other.itself, promised=least)


def _kept_by(catalog: Catalog) -> Iterator[_Kept]:
    """What journals speak of and what runs had, of all runs that there are; one record is held at a time."""
    ledger, project = catalog.opened.kit.ledger, catalog.opened.id
    names = [each.run for each in ledger.read(project, limit=_MOST).summaries if each.status != "unfinished"]
    finished: dict[str, tuple[str, Mapping[str, Mapping[str, Label]]]] = {}
    of_runs: list[_Kept] = []
    for name in reversed(names):
        record = ledger.read(project, name).entries[-1].record
        finished[record.run] = (record.finished, record.labels)
        of_runs += (each.under(record.labels) for each in _of_run(catalog, record))
    yield from _of_journals(catalog, finished)
    yield from of_runs


def _of_run(catalog: Catalog, record: RunRecord) -> Iterator[_Kept]:
    """What a run had."""
    examples = catalog.project.charter.decision.examples
    said = (record.run, record.finished)
    for name, artifact in record.tables.items():
        known = name in catalog.names
        yield _Kept("table", name if known else examples, artifact, *said, known)
    for outcome in (*record.steps, *record.stages):
        if outcome.output is not None:
            yield _kept(catalog, outcome.name, outcome.output, *said)
    if record.predictions is not None:
        yield _Kept("predictions", examples, record.predictions, *said)


def _of_journals(
    catalog: Catalog, finished: Mapping[str, tuple[str, Mapping[str, Mapping[str, Label]]]]
) -> Iterator[_Kept]:
    """What records do not name: what is the product's own (the holdout, scores), what runs without a record left behind (a kill), what was executed in the
    laboratory. Kept since its run finished, or its file was written.
    """
    opened = catalog.opened
    ledgers = [opened.kit.ledger]
    if (opened.root / FOLDER).is_dir():
        ledgers.append(assemble.ledger(opened.root / FOLDER))
    for ledger in ledgers:
        events = [each for event in ("step", MADE) for each in ledger.read(opened.id, event=event, limit=_MOST).events]
        for _, body in events:
            run = str(body.get("run", ""))
            for artifact in _artifacts(body):
                if opened.kit.store.has(artifact):
                    written = dt.datetime.fromtimestamp(opened.kit.store.path(artifact).stat().st_mtime, dt.UTC)
                    since, labels = finished.get(run, (written.isoformat(), {}))
                    yield _kept(catalog, str(body.get("step", "")), artifact, run, since).under(labels)


def _artifacts(body: Mapping[str, Any]) -> Iterator[Artifact]:
    """What a finished stage made: its output, and what it says besides (the holdout, beside train)."""
    for each in (body.get("output"), *dict(body.get("extra") or {}).values()):
        if isinstance(each, dict) and {"id", "kind", "file", "bytes"} <= each.keys():
            yield msgspec.convert(each, Artifact)


def _kept(catalog: Catalog, name: str, artifact: Artifact, run: str, since: str) -> _Kept:
    """What a step or a stage made: what is no table of the project's has the labels of the examples."""
    kind, _, table = name.rpartition(":")
    itself = kind in {"", "read", "check", "step"} and table in catalog.names
    known = table if itself else catalog.project.charter.decision.examples
    return _Kept("model" if artifact.kind == "object" else "table", known, artifact, run, since, itself)


def _due(catalog: Catalog, kept: _Kept, present: str) -> Expiry | None:
    """How long it may be kept; None: for ever."""
    labelled, table, artifact = catalog.labelled, kept.table, kept.artifact
    names = [name for name in artifact.columns if kept.itself and (table, name) in labelled.labels]
    limits = {name: labelled.label(table, name).retention for name in names} or {"*": labelled.whole(table).retention}
    strict = {name: days for name, days in limits.items() if days is not None}
    # What was promised when it was stored holds, too: contracts may have been changed since, or no longer speak of a column.
    strict |= {name: min(days, strict.get(name, days)) for name, days in kept.promised.items()}
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


def _erase(catalog: Catalog, artifact: Artifact | None, due: Expiry) -> Expiry:
    """Write down that it goes, then erase it: a kill between leaves it to the next call, and never something gone that nobody knows of."""
    kit = catalog.opened.kit
    landed = kit.source(due.table) if due.what == "landed" else None
    able = landed.forgets if isinstance(landed, Landed) else due.what == "log" or hasattr(kit.store, "erase")
    if not able:
        raise UserError(
            "this store cannot forget what it keeps",
            code="PO-T010",
            expected="a store that erases, where labels limit how long data is kept",
            remedy="choose another [store] kind, or erase there what payoff data expire lists",
        )
    gone, at = msgspec.structs.replace(due, erased=True), now()
    body = {"subject": due.version or due.table, "at": at, "by": who(), **msgspec.to_builtins(gone)}
    kit.ledger.journal(catalog.opened.id, "", EVENT, body)
    if isinstance(landed, Landed):
        landed.expire(_micros(dt.datetime.fromisoformat(at) - dt.timedelta(days=due.days + 1)))
    elif due.what == "log":
        (catalog.opened.root / logged.FOLDER / due.version).unlink(missing_ok=True)
    elif artifact is not None:
        cast("Erasing", kit.store).erase(artifact, why(body))
    return gone


def why(body: Mapping[str, Any]) -> str:
    """What is said of something that an event of the ledger erased.

    >>> why({"at": "2027-01-01T03:00:00.000Z", "column": "customers.name", "days": 30})
    'erased on 2027-01-01 under the retention of customers.name (30 days)'
    """
    return (
        f"erased on {str(body['at'])[:10]} under the retention of {body['column']} ({count(int(body['days']), 'day')})"
    )
