"""What all connections share: the routes, what was seen, who is there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import msgspec

from payoff.adapters.fronts.proxy.upstream import Pool, parted
from payoff.base import hashing
from payoff.base.clock import now
from payoff.base.files import write_atomically
from payoff.ports.releasing.front import Routes
from payoff.records.release.canary import Arm, Seen

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.adapters.fronts.proxy.connection import Connection

_log = logging.getLogger("payoff.front")


def beside(place: Path, ending: str) -> Path:
    """One of a deployment's files; a name may have a point in it."""
    return place.with_name(place.name + ending)


class State:
    """Of one front. Only what cannot be read at its start ends it; afterwards it goes on with what it has."""

    def __init__(self, place: Path, most: int) -> None:
        self.place = place
        self.most = most
        self.pool = Pool()
        self.clients: set[Connection] = set()
        self.ending = False
        self.under_way = 0
        self.held = 0  # bytes of all requests that come, or are answered
        self.quiet = asyncio.Event()
        self.quiet.set()
        self.shadows: set[asyncio.Task[None]] = set()
        self.copied = 0  # bytes that shadows are asked
        self.applied = ""
        self.seen: Seen | None = None
        self._written = b""
        self._complaints: dict[str, str] = {}
        self._changed = self._mark()
        self.routes = self._read()

    def look(self) -> bool:
        """Take over routes that were changed; whether there were any. A file that is gone, or is none, is said once."""
        try:
            if (found := self._mark()) == self._changed:
                return False
            self._changed = found
            self._read()
        except (OSError, ValueError, msgspec.DecodeError) as error:
            self._changed = (0, 0)
            self._complain("the routes cannot be read, and stay as they were", str(error))
            return False
        self._complaints.clear()
        return True

    def _mark(self) -> tuple[int, int]:
        said = beside(self.place, ".routes").stat()
        return said.st_mtime_ns, said.st_ino

    def _read(self) -> Routes:
        content = beside(self.place, ".routes").read_bytes()
        routes = msgspec.json.decode(content, type=Routes)
        for each in (routes.stable, routes.canary):
            if each is not None:
                parted(each.address)
        self.routes, self.applied = routes, hashing.of_bytes(content)
        self._begin()
        return routes

    def _begin(self) -> None:
        """What was seen counts as long as the same two are compared in the same way."""
        routes = self.routes
        if routes.canary is None:
            self.seen = None
            beside(self.place, ".seen").unlink(missing_ok=True)
            return
        if self.seen is None:
            with contextlib.suppress(OSError, msgspec.DecodeError):
                self.seen = msgspec.json.decode(beside(self.place, ".seen").read_bytes(), type=Seen)
        seen = self.seen
        same = seen and (seen.mode, seen.stable.image, seen.canary.image)
        if same != (routes.mode, routes.stable.image, routes.canary.image):
            arms = [Arm(release=each.release, image=each.image) for each in (routes.stable, routes.canary)]
            self.seen = Seen(since=now(), mode=routes.mode, stable=arms[0], canary=arms[1])

    def count(self, change: int) -> None:
        """A request came, or is answered."""
        self.under_way += change
        if self.under_way:
            self.quiet.clear()
        else:
            self.quiet.set()

    def tidy(self) -> None:
        """Close connections that nobody will use."""
        routes = self.routes
        self.pool.tidy([each.address for each in (routes.stable, routes.canary) if each is not None])

    async def write(self) -> None:
        """What was seen, when there is more; in a thread, for a disk may be slow and clients do not wait for it."""
        content = msgspec.json.encode(self.seen) if self.seen else b""
        if not content or content == self._written:
            return
        try:
            await asyncio.to_thread(write_atomically, beside(self.place, ".seen"), content)
            self._written = content
        except OSError as error:
            self._complain("what was seen cannot be written", str(error))

    def chosen(self, body: bytes) -> bool:
        """Whether a request is of the share that the canary gets."""
        routes = self.routes
        if routes.canary is None or not body:
            return False
        return int(hashing.of_bytes(body)[:13], 16) / 16**13 < routes.share

    def _complain(self, what: str, why: str) -> None:
        if self._complaints.get(what) != why:
            self._complaints[what] = why
            _log.warning("%s %s: %s", now(), what, why)
