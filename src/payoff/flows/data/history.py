"""`payoff data history TABLE`: the versions that runs had of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from payoff.flows.data.expire import EVENT, why
from payoff.flows.data.opened import MOST_EVENTS, Catalog
from payoff.records.catalog import Version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payoff.records.artifact import Artifact


def history(project: str | None, table: str) -> Sequence[Version]:
    """The newest version first."""
    catalog = Catalog(project)
    catalog.known(table)
    events = catalog.opened.kit.ledger.read(catalog.opened.id, event=EVENT, limit=MOST_EVENTS).events
    expired = {str(body["version"]): why(body) for _, body in events}
    versions: list[Version] = []
    before: Artifact | None = None
    for record in catalog.records:
        found = record.tables.get(table)
        if found is None:
            continue
        if before is not None and found.id == before.id:
            versions[-1] = msgspec.structs.replace(versions[-1], last=record.run)
            continue
        old = set(before.columns) if before is not None else set(found.columns)
        versions.append(
            Version(
                version=found.id,
                rows=found.rows or 0,
                bytes=found.bytes,
                first=record.run,
                last=record.run,
                since=record.finished,
                added=(found.rows or 0) - (before.rows or 0) if before is not None else None,
                columns_added=tuple(name for name in found.columns if name not in old),
                columns_removed=tuple(sorted(old - set(found.columns))),
                kept=catalog.opened.kit.store.has(found),
                expired="" if catalog.opened.kit.store.has(found) else expired.get(found.id, ""),
            )
        )
        before = found
    return tuple(reversed(versions))
