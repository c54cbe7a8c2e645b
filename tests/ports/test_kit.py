"""The live adapters of a run."""

from __future__ import annotations

import threading

from payoff.ports.kit import Kit


def test_an_adapter_is_made_once_though_several_threads_ask() -> None:
    asking, made = threading.Barrier(3), []

    def make() -> object:
        threading.Event().wait(0.05)  # opening takes a while; the others ask meanwhile
        made.append(object())
        return made[-1]

    kit = Kit({"engine": make}, {"people": make}, sinks={"lake": make})
    for ask in (lambda: kit.engine, lambda: kit.source("people"), lambda: kit.sink("lake")):
        got: list[object] = []

        def work(ask=ask, got=got) -> None:
            asking.wait(10)
            got.append(ask())

        threads = [threading.Thread(target=work) for _ in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert got == [made[-1]] * 3
    assert len(made) == 3


def test_an_adapter_may_ask_for_another_while_it_is_made() -> None:
    kit = Kit({"store": lambda: "store", "engine": lambda: [kit.store]}, {})
    assert kit.engine == ["store"]
