"""Products of matrices that do not wait for other processors."""

from __future__ import annotations

import threading
import time

import numpy as np
import threadpoolctl

from payoff.base.threads import one_thread
from payoff.value.intervals import bootstrap


def threads() -> set[int]:
    """Of numpy's own library, not scipy's."""
    return {each["num_threads"] for each in threadpoolctl.threadpool_info() if "numpy.libs" in each["filepath"]}


def test_while_anybody_is_inside() -> None:
    with threadpoolctl.threadpool_limits(2):
        before = threads()
        inside, leave = threading.Event(), threading.Event()

        def other() -> None:
            with one_thread():
                inside.set()
                leave.wait(20)

        beside = threading.Thread(target=other)
        with one_thread():
            beside.start()
            assert inside.wait(20)
        assert threads() <= {1}, "the other one is still at work"
        leave.set()
        beside.join()
        assert threads() == before


def test_an_interval_takes_one_processor() -> None:
    values = np.random.default_rng(1).normal(size=(1500, 6))
    bootstrap(values, confidence=0.95, seed=1)
    with threadpoolctl.threadpool_limits(2):
        every, own = time.process_time(), time.thread_time()
        for _ in range(10):
            bootstrap(values, confidence=0.95, seed=1)
        every, own = time.process_time() - every, time.thread_time() - own
    assert every < 1.3 * own
