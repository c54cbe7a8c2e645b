"""`payoff ingest`: what streams have lands in the project's tables, once or for as long as it is let."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from msgspec.structs import replace

from payoff.base.clock import stopwatch
from payoff.base.errors import OutsideError, UserError, Where
from payoff.base.text import did_you_mean
from payoff.execute.failures import at_source
from payoff.execute.streams.landed import Landed
from payoff.execute.streams.side_by_side import each_in_a_thread
from payoff.flows.opening import open_project
from payoff.ports.observer import silent
from payoff.records.stream import Ingested

if TYPE_CHECKING:
    from payoff.flows.opening import Opened
    from payoff.ports.observer import Observer
    from payoff.records.answers.request import IngestRequest

_POLL = 0.5  # seconds between two looks at a stream that had nothing new
_SOONEST, _LATEST = 1.0, 30.0  # seconds that a broker that is down is left alone: each time twice as long


def ingest(
    request: IngestRequest, stop: threading.Event | None = None, observer: Observer = silent
) -> tuple[Ingested, ...]:
    """Land the streams asked for (all of the project's, unless some are named), side by side; with `follow`, until `stop` is set.

    A broker that is down ends it with an error, unless it follows: then it is asked again, later and later. Any
    other error ends all of them, after the transactions that are under way.
    """
    opened = open_project(request.project)
    ended = stop or threading.Event()
    streams = _streams(opened, request.tables)
    return each_in_a_thread([_Follower(opened, each, request, ended, observer).run for each in streams], ended)


def _streams(opened: Opened, tables: tuple[str, ...]) -> list[Landed]:
    names = [source.table for source in opened.project.sources]
    found = {name: source for name in names if isinstance(source := opened.kit.source(name), Landed)}
    wrong = next((table for table in tables if table not in found), None)
    if wrong is not None or not found:
        raise UserError(
            f"{wrong} is no stream of this project" if wrong else "no source of this project is a stream",
            code="PO-M014",
            expected=did_you_mean(wrong or "", found) if found else "a source whose kind is a stream (docs/streams.md)",
            remedy="payoff ingest, with the name of a stream in payoff.toml",
            where=Where("payoff.toml"),
        )
    return [found[table] for table in tables or found]


class _Follower:
    """Lands one stream."""

    def __init__(
        self, opened: Opened, landed: Landed, request: IngestRequest, stop: threading.Event, observer: Observer
    ) -> None:
        self.opened = opened
        self.landed = landed
        self.request = request
        self.stop = stop
        self.observer = observer
        self.total: Ingested | None = None

    def run(self) -> Ingested:
        """Once, or until it is stopped."""
        began, pause = stopwatch(), _SOONEST
        self.observer("ingest", name=self.landed.table, state="started")
        try:
            while True:
                try:
                    self._land()
                    pause = _SOONEST
                except OutsideError as error:
                    if not (self.request.follow and error.may_retry):
                        raise
                    self.observer(
                        "ingest", name=self.landed.table, state="progress", line=f"{error.what}; again in {pause:.0f} s"
                    )
                    self._waited()
                    self.stop.wait(pause)
                    pause = min(2 * pause, _LATEST)
                if not self.request.follow or self.stop.wait(_POLL):
                    break
        finally:
            self.landed.close()
            self.observer("ingest", name=self.landed.table, state="done", seconds=stopwatch() - began)
        return replace(self._so_far(), seconds=stopwatch() - began)

    def _land(self) -> None:
        before = self._so_far().landed
        with at_source(self.opened.project, self.landed.table):
            now = self.landed.land(
                stop=self.stop.is_set,
                tell=lambda rows: self.observer("ingest", name=self.landed.table, state="progress", rows=before + rows),
                accept_loss=self.request.accept_loss,
                close=False,
            )
        was = self._so_far()
        self.total = replace(
            was,
            landed=was.landed + now.landed,
            batches=was.batches + now.batches,
            set_aside=was.set_aside + now.set_aside,
            state=now.state,
        )

    def _so_far(self) -> Ingested:
        if self.total is None:
            return Ingested(
                table=self.landed.table, landed=0, batches=0, set_aside=0, seconds=0.0, state=self.landed.state()
            )
        return self.total

    def _waited(self) -> None:
        was = self._so_far()
        self.total = replace(was, waits=was.waits + 1, state=self.landed.state())
