"""Runs stages side by side, each as soon as what it needs is there."""

from __future__ import annotations

import errno
import queue
import threading
import traceback
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base.clock import stopwatch
from payoff.base.errors import Bug, OutsideError, PayoffError
from payoff.execute.context import Context, Sandbox, Work
from payoff.records.evidence import StepOutcome
from payoff.records.task import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Handler = Generator[Sandbox | Work, Any, StepOutcome | None]


class Node(msgspec.Struct, kw_only=True):
    """A stage (or a compilation before it) in the scheduler: what it needs, how to start it, under which name people know it."""

    name: str
    needs: tuple[str, ...]
    start: Any
    shown: str
    soft: tuple[str, ...] = ()  # may start when these have written their table, before it is stored
    after: tuple[str, ...] = ()  # may start when these have ended, well or not


class Scheduler:
    """One thread drives the handlers; sandboxes and at most `threads` threads do the work.

    A handler is a generator: it yields `Sandbox` or `Work` and is resumed with the result, or with the error thrown in.
    """

    def __init__(self, context: Context, nodes: list[Node], *, workers: int) -> None:
        self.context = context
        self.nodes = {node.name: node for node in nodes}
        self.waiting = dict(self.nodes)
        self.running: dict[str, Handler] = {}
        self.tasks: dict[str, str] = {}
        self.queue: list[tuple[str, Any]] = []
        self.threads = 0
        self.workers = workers
        self.answers: queue.SimpleQueue[tuple[str, Any, BaseException | None]] = queue.SimpleQueue()
        self.ended: dict[str, bool] = {}

    def run(self) -> None:
        """Until every node has ended, one way or another."""
        while self.waiting or self.running:
            self._start_ready()
            if self.running:
                self._collect()

    def _start_ready(self) -> None:
        progress = True
        while progress:
            progress = False
            for node in list(self.waiting.values()):
                if any(self.ended.get(name) is False for name in (*node.needs, *node.soft)):
                    self._skip(node)
                    progress = True
                elif self._ready(node):
                    del self.waiting[node.name]
                    self.context.started[node.name] = stopwatch()
                    self.context.tell("stage", name=node.shown, state="started")
                    self.running[node.name] = node.start()
                    self._resume(node.name, None, None)
                    progress = True

    def _ready(self, node: Node) -> bool:
        if any(name in self.nodes and name not in self.ended for name in node.after):
            return False
        return all(self.ended.get(name) for name in node.needs if name in self.nodes) and all(
            self.ended.get(name) or name.partition(":")[2] in self.context.early
            for name in node.soft
            if name in self.nodes
        )

    def _resume(self, name: str, value: Any, error: BaseException | None) -> None:
        handler = self.running[name]
        try:
            wish = handler.throw(error) if error is not None else handler.send(value)
        except StopIteration as stop:
            self._end(name, stop.value)
        except PayoffError as problem:
            self._fail(name, problem)
        except OSError as problem:
            self._fail(name, _outside(node_shown=self.nodes[name].shown, problem=problem))
        except Exception as problem:
            self._fail(name, _bug(name, problem))
        else:
            self.queue.append((name, wish))
            self._dispatch()

    def _dispatch(self) -> None:
        kept: list[tuple[str, Any]] = []
        for name, wish in self.queue:
            if isinstance(wish, Sandbox) and len(self.tasks) < self.workers:
                self.tasks[wish.task.id] = name
                self.context.kit.executor.submit(wish.task)
            elif isinstance(wish, Work):
                self.threads += 1
                threading.Thread(target=self._call, args=(name, wish.call), daemon=True).start()
            else:
                kept.append((name, wish))
        self.queue = kept

    def _call(self, name: str, call: Callable[[], Any]) -> None:
        try:
            self.answers.put((name, call(), None))
        except BaseException as error:
            self.answers.put((name, None, error))

    def _collect(self) -> None:
        """Wait for something to come back: from a thread, or from a sandbox."""
        if self.tasks:
            pause = 0.0 if not self.answers.empty() else (0.01 if self.threads else None)
            for result in self.context.kit.executor.wait(pause):
                name = self.tasks.pop(result.id)
                self._resume(name, result, None)
        elif self.threads:
            self._take(self.answers.get())
        while not self.answers.empty():
            self._take(self.answers.get())
        self._dispatch()

    def _take(self, answer: tuple[str, Any, BaseException | None]) -> None:
        self.threads -= 1
        self._resume(*answer)

    def _end(self, name: str, outcome: StepOutcome | None) -> None:
        del self.running[name]
        self.ended[name] = True
        if outcome is not None:
            self.context.outcomes[name] = outcome
            self.ended[name] = outcome.state in {"ran", "reused"}
            self.context.tell(
                "stage", name=outcome.name, state=outcome.state, seconds=outcome.seconds, because=outcome.because
            )

    def _fail(self, name: str, error: PayoffError) -> None:
        self.running.pop(name, None)
        self.ended[name] = False
        self.context.errors[name] = error
        seconds = stopwatch() - self.context.started[name]
        shown = self.nodes[name].shown
        self.context.outcomes[name] = StepOutcome(
            name=shown,
            state="failed",
            because=(f"{error.code}: {error.what}",),
            seconds=seconds,
            failure=getattr(error, "failure", None),
            fingerprint=getattr(error, "fingerprint", {}),
        )
        self.context.tell("stage", name=shown, state="failed", seconds=seconds, because=(error.what,))

    def _skip(self, node: Node) -> None:
        del self.waiting[node.name]
        self.ended[node.name] = False
        bad = next(name for name in (*node.needs, *node.soft) if self.ended.get(name) is False)
        because = f"{self.nodes[bad].shown} did not end well"
        self.context.outcomes[node.name] = StepOutcome(name=node.shown, state="skipped", because=(because,))
        self.context.tell("stage", name=node.shown, state="skipped", because=(because,))


def _outside(*, node_shown: str, problem: OSError) -> OutsideError:
    full = problem.errno in {errno.ENOSPC, errno.EDQUOT}
    return OutsideError(
        f"{node_shown}: the system said: {problem.strerror or type(problem).__name__}",
        code="PO-R901" if full else "PO-R902",
        expected="free space under .payoff/" if full else "files that can be read and written",
        remedy="free some space (du -sh .payoff/*), then payoff run: finished steps are not repeated"
        if full
        else "mend what the system names, then payoff run: finished steps are not repeated",
    )


def _bug(name: str, problem: Exception) -> Bug:
    error = Bug(
        f"{name}: {type(problem).__name__} in Payoff itself",
        code="PO-R900",
        remedy="please report this with the text of the error; payoff run --dry-run shows what was planned",
    )
    error.__cause__ = problem
    trace = "".join(traceback.format_tb(problem.__traceback__)) + type(problem).__name__
    error.failure = Failure(kind="exception", error=type(problem).__name__, message="", trace=trace)  # type: ignore[attr-defined]
    return error
