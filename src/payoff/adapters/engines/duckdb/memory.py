"""Memory: what the engine may take, and a watch over what DuckDB takes without counting it.

DuckDB keeps its own account (`memory_limit`), and spills what does not fit. The values that some aggregates keep (`mode`, `median`,
quantiles, histograms) are not in that account: on a gigabyte of rows with a limit of 200 MB, `mode` was seen to take 2.4 GB.
"""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING

import pyarrow as pa

from payoff.base.errors import OutsideError

if TYPE_CHECKING:
    import duckdb

_SHARE = 0.8  # of the declared memory, for DuckDB's own account; the rest is for batches under way and what it does not count
_SLACK = 256 << 20  # bytes beyond the declared memory before a query is stopped: what allocators hold back
_LITTLE = 400_000_000  # bytes up to which all of it is: DuckDB needs so many blocks at once, whatever the data
_FLUSH = 16  # MB that are freed before they are given back
_EVERY = 0.05  # seconds between two looks
_PAGE: int = os.sysconf("SC_PAGE_SIZE")
_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def size(text: str) -> int:
    """Bytes of `2GB`, `190.7 MiB`, `512 bytes`; 0 for a text that says none.

    >>> size("2GB"), size("1.5 KiB"), size("512 bytes"), size("much")
    (2000000000, 1536, 512, 0)
    """
    found = re.fullmatch(r"\s*([0-9.]+)\s*(?:([KMGT]?)(i?)B|bytes?)\s*", text, re.IGNORECASE)
    if not found:
        return 0
    return int(float(found[1]) * (1024 if found[3] else 1000) ** _UNITS[(found[2] or "").upper()])


class Budget:
    """The memory of one engine, in bytes: what was declared, else what DuckDB takes by itself (four fifths of the machine's)."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, declared: bool) -> None:
        (said,) = connection.execute("select current_setting('memory_limit')").fetchone() or ("",)
        self.bytes = size(str(said))
        self.text = str(said)
        if declared and self.bytes:
            account = max(min(self.bytes, _LITTLE), int(self.bytes * _SHARE))
            connection.execute(f"SET memory_limit = '{account}B'")
            # Its allocator would hold freed memory back, which then stands beside what the next query takes.
            connection.execute("SET allocator_background_threads = true")
            for name in ("allocator_flush_threshold", "allocator_bulk_deallocation_flush_threshold"):
                connection.execute(f"SET {name} = '{_FLUSH}MB'")
        self._before = 0
        self._running = 0
        self._lock = threading.Lock()

    def begin(self) -> None:
        """A query begins: memory is counted from when the first of those that run side by side began."""
        with self._lock:
            if not self._running:
                self._before = _held()
            self._running += 1

    def end(self) -> None:
        """A query is over."""
        with self._lock:
            self._running -= 1

    def over(self) -> bool:
        """True when running queries hold more than the budget: what the process got since they began, without Arrow's own memory."""
        return bool(self.bytes) and _held() - self._before > self.bytes + _SLACK

    def short(self) -> OutsideError:
        """The error of a query that needs more."""
        return OutsideError(
            f"the engine ran out of memory (it may take {self.text})",
            code="PO-E004",
            expected="a query that fits into memory and the temporary folder",
            remedy="take fewer columns or rows in the query, or give the engine more: memory_limit in [engine] of payoff.toml",
        )


class Watch:
    """Stops a query that takes more than the budget. Put it inside of what turns DuckDB's errors into ours."""

    def __init__(self, budget: Budget, cursor: duckdb.DuckDBPyConnection) -> None:
        self._budget = budget
        self._cursor = cursor
        self._done = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._look, name="payoff-engine-memory", daemon=True)

    def __enter__(self) -> None:
        self._budget.begin()
        self._thread.start()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._done.set()
        self._thread.join()
        self._budget.end()
        if self._stopped:
            _give_back()
        if error is not None and self._stopped:
            raise self._budget.short() from None

    def _look(self) -> None:
        while not self._done.wait(_EVERY):
            if self._budget.over():
                self._stopped = True
                self._cursor.interrupt()  # again until it has stopped: some operators look for it seldom


def _held() -> int:
    """Memory of this process that no file stands behind, in bytes, without what Arrow holds; 0 where the system does not say it."""
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:
            resident, shared = (int(word) for word in stream.read().split()[1:3])
    except OSError:
        return 0
    return (resident - shared) * _PAGE - int(pa.total_allocated_bytes())


def _give_back() -> None:
    """Have the C library return what it holds back of freed memory; other libraries do so in time."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
