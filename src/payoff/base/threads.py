"""numpy's products of matrices on one thread.

OpenBLAS, which comes with numpy, shares each product of more than a few thousand numbers out to as many threads as there are processors,
and they wait for each other without sleeping. Where something else is at work beside it, as a run's steps are, a product of milliseconds
then takes ten times as much of the processors. And on one thread it comes out the same however many processors a machine has.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_GET, _SET = "scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"
_lock = threading.Lock()
_inside = [0, 0]  # how many are, and how many threads there were before the first came


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """While anybody is inside; of another library than numpy's own OpenBLAS the threads stay as they are.

    >>> with one_thread():
    ...     pass
    """
    found = _switches()
    if found is None:
        yield
        return
    get, put = found
    with _lock:
        _inside[0] += 1
        if _inside[0] == 1:
            _inside[1] = get()
            put(1)
    try:
        yield
    finally:
        with _lock:
            _inside[0] -= 1
            if not _inside[0]:
                put(_inside[1])


@functools.cache
def _switches() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """How numpy's OpenBLAS is asked for its threads, and told."""
    numpy = sys.modules.get("numpy")
    folder = Path(str(getattr(numpy, "__file__", ""))).parent
    for file in (*folder.parent.glob("numpy.libs/*openblas*"), *folder.glob(".dylibs/*openblas*")):
        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(str(file))  # it is loaded already: this is the same one
            get, put = getattr(library, _GET), getattr(library, _SET)
            get.restype, get.argtypes = ctypes.c_int, []
            put.restype, put.argtypes = None, [ctypes.c_int]
            return get, put
    return None
