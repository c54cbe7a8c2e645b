"""Several long works beside each other: the first that fails ends all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_T = TypeVar("_T")


def each_in_a_thread(works: Sequence[Callable[[], _T]], stop: threading.Event) -> tuple[_T, ...]:
    """What each answers, in their order. An error sets `stop`, waits for the others, and is raised."""
    answers: dict[int, _T] = {}
    errors: list[BaseException] = []

    def work(number: int, call: Callable[[], _T]) -> None:
        try:
            answers[number] = call()
        except BaseException as error:  # raised in the caller's thread
            errors.append(error)
            stop.set()

    threads = [threading.Thread(target=work, args=each, daemon=True) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return tuple(answers[number] for number in range(len(works)))
