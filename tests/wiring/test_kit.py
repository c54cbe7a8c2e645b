"""A kit makes each adapter once."""

from __future__ import annotations

import threading
import time

from payoff.ports.kit import Kit


def test_an_adapter_is_made_once_whichever_threads_ask() -> None:
    made: list[object] = []

    def make() -> object:
        time.sleep(0.01)  # long enough that the others are waiting
        made.append(object())
        return made[-1]

    kit = Kit({"engine": make}, {"customers": make})
    found: list[object] = []
    asking = threading.Barrier(8)

    def ask(number: int) -> None:
        asking.wait()
        found.append(kit.engine if number % 2 else kit.source("customers"))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert set(map(id, found)) == set(map(id, made))
