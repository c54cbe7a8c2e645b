"""The tracking process: reads settings, then runs, one JSON document a line; answers a line for each run that is done.

It belongs to no terminal (ctrl-C does not reach it) and gives way to the run it works beside. When its input ends it
does what it was given and ends; when it was given nothing it ends at once.
"""

from __future__ import annotations

import gc
import os
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.adapters.trackers.mlflow import failures
from payoff.adapters.trackers.mlflow.settings import Settings
from payoff.base import lazy
from payoff.records import wire
from payoff.records.run import RunRecord

if TYPE_CHECKING:
    from payoff.adapters.trackers.mlflow.logged import Log

_NICE = 5


class Work(msgspec.Struct):
    """A run to track."""

    record: msgspec.Raw
    files: dict[str, str] = {}


def main() -> None:
    """Serve until the input ends."""
    _step_aside()
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print goes to the log, not between the answers
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=Settings)
    work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_receive, args=(work, busy), daemon=True).start()
    os.chdir(settings.folder)  # MLflow puts what it makes without being asked beside where it stands
    log, problem = _open(settings, busy)
    while (item := work.get()) is not None:
        _answer(answers, _track(item, log, problem, settings))


def _open(settings: Settings, busy: threading.Event) -> tuple[Log | None, dict[str, str]]:
    """Import MLflow and open the store before any run is there; what goes wrong is told to each run that comes."""
    # Half a second each, and MLflow's smallest package does without.
    lazy.keep_out("pandas", ("mlflow", "payoff", "pyarrow"))
    lazy.keep_out("polars", ("mlflow",))
    gc.disable()  # half a million objects are made here that all stay: looking for what may go takes a sixth of the time
    try:
        from payoff.adapters.trackers.mlflow.logged import Log

        log = Log(settings, busy)
        log.warm()
        return log, {}
    except Exception as error:
        return None, failures.told(error, settings)
    finally:
        gc.freeze()
        gc.enable()


def _track(item: Work, log: Log | None, problem: dict[str, str], settings: Settings) -> dict[str, Any]:
    record: RunRecord = wire.decode(bytes(item.record), RunRecord)
    if log is None:
        return {"run": record.run, **problem}
    try:
        return {"run": record.run, **log.track(record, item.files)}
    except Exception as error:
        return {"run": record.run, **failures.told(error, settings)}


def _receive(work: queue.SimpleQueue[Work | None], busy: threading.Event) -> None:
    """Read what comes while MLflow is being imported, so that who hands over never waits."""
    given = False
    for line in sys.stdin.buffer:
        if line.endswith(b"\n"):  # a line cut off by a kill is caught up by the next run
            given = True
            work.put(msgspec.json.decode(line, type=Work))
    work.put(None)
    if not given and not busy.is_set():
        os._exit(0)


def _answer(pipe: int, answer: dict[str, Any]) -> None:
    try:
        os.write(pipe, msgspec.json.encode(answer) + b"\n")
    except OSError:
        return  # nobody waits any more; the next run asks again and gets the same answer


def _step_aside() -> None:
    try:
        os.setsid()
        os.nice(_NICE)
    except OSError:
        return


if __name__ == "__main__":
    main()
