"""A table that an HTTP API answers with, page after page."""

from __future__ import annotations

import contextlib
import email.utils
from typing import TYPE_CHECKING, Any

from payoff.adapters.sources.http.bodies import Bodies
from payoff.adapters.sources.http.client import Answer, Client
from payoff.adapters.sources.http.options import Options, Told, address, checked
from payoff.adapters.sources.http.paging import Paging
from payoff.adapters.sources.http.spool import Spool
from payoff.base import hashing, lazy
from payoff.ports.columns import chosen, declared

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
else:
    pa = lazy.Module("pyarrow")

_FRESH = 2.0  # seconds within which a time of change, which has whole seconds, says too little


def connect(name: str, options: Options, root: Path) -> Http:
    """A table behind a web address; nothing is asked yet."""
    return Http(name, options, root)


class Http:
    """See `ports.source.Source`. All pages are on disk before the first row is given out: an answer that breaks off is an error, not a short table."""

    def __init__(self, name: str, options: Options, root: Path) -> None:
        self._name = name
        self._options = options
        self._root = root
        self._kept: Spool | None = None

    def schema(self) -> pa.Schema:
        """Of the whole answer, which the next `read` uses."""
        self._kept = self._fetched()
        return self._kept.schema()

    def read(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """The rows, with types that fit all pages."""
        spool, self._kept = self._kept or self._fetched(), None
        wanted = chosen(self._name, spool.schema(), columns)
        return pa.RecordBatchReader.from_batches(wanted, spool.batches(wanted))

    def version(self) -> str | None:
        """ETag or time of change of an answer that is one page; None where the server says neither, or the change is but seconds old."""
        told = checked(self._name, self._options)
        if self._options.paging != "none":
            return None
        client = Client(told, self._options, self._root)
        with contextlib.closing(client):
            headers = client.head(Paging(told, self._options, client).first()) or {}
        tag, changed = headers.get("ETag"), headers.get("Last-Modified")
        if tag is None and (changed is None or _fresh(headers)):
            return None
        return hashing.of_json([told.address, tag, changed, headers.get("Content-Length")])

    def describe(self) -> dict[str, Any]:
        """The address, without query and what else may be secret."""
        return {"kind": "http", "address": address(self._options.url)}

    def _fetched(self) -> Spool:
        """All pages."""
        told = checked(self._name, self._options)
        types = declared(self._name, self._options.types)
        client = Client(told, self._options, self._root)
        spool, paging, bodies = (
            Spool(told, types),
            Paging(told, self._options, client),
            Bodies(told, self._options, types),
        )
        kind = ""
        with contextlib.closing(client):
            url: str | None = paging.first()
            while url is not None:
                answer = client.get(url)
                with answer.body:
                    kind = self._same(told, kind, answer)
                    url = _page(answer, spool, paging, bodies)
        paging.whole()
        if kind in {"csv", "parquet"}:
            chosen(self._name, spool.seen(), [*types])  # a JSON object may lack a key, a file has all its columns
        return spool

    def _same(self, told: Told, kind: str, answer: Answer) -> str:
        if kind and answer.kind != kind:
            raise told.outside("its pages have different formats", "PO-S226", f"{kind} on every page", retry=False)
        if self._options.paging == "cursor" and answer.kind != "json":
            raise told.wrong("paging by cursor needs JSON bodies", "PO-S220", 'format = "json", or another paging')
        return answer.kind


def _page(answer: Answer, spool: Spool, paging: Paging, bodies: Bodies) -> str | None:
    """Keep the rows of a page; answers the URL of the next one."""
    page = paging.pages + 1
    digest = _digest(answer)
    document = bodies.document(answer.body, page) if answer.kind == "json" else None
    before = spool.rows
    for batch in bodies.batches(answer.kind, answer.body, document, page):
        spool.add(batch, page, textual=answer.kind == "csv")
    return paging.following(answer, document, spool.rows - before, digest)


def _digest(answer: Answer) -> str:
    """Of the page's body, piece by piece."""

    def pieces() -> Iterator[str]:
        while piece := answer.body.read(1 << 20):
            yield hashing.of_bytes(piece)

    digest = hashing.of_json(list(pieces()))
    answer.body.seek(0)
    return digest


def _fresh(headers: Mapping[str, str]) -> bool:
    """Whether the last change is so new that another in the same second would not be seen."""
    try:
        changed, present = (
            email.utils.parsedate_to_datetime(headers.get(key, "")) for key in ("Last-Modified", "Date")
        )
        return (present - changed).total_seconds() < _FRESH
    except (TypeError, ValueError):
        return True
