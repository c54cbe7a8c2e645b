"""What holds for all tests."""

from __future__ import annotations

import gc
import warnings
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long one example takes says nothing on a machine that is shared: benchmarks measure time, tests do not.
settings.register_profile("payoff", deadline=None)
settings.load_profile("payoff")


# What takes longest in a test, first: whoever has nothing left to do takes from the end of another's list, where a test is over in a moment.
LONG = ("tests/docs/", "tests/flows/", "tests/contracts/", "tests/adapters/", "tests/worker/", "tests/execute/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In one order for all processes; what is of one file stays together, for its fixtures."""
    items.sort(key=lambda item: next((number for number, folder in enumerate(LONG) if item.nodeid.startswith(folder)), len(LONG)))


@pytest.fixture(autouse=True)
def _collected(request: pytest.FixtureRequest) -> Iterator[None]:
    """The client of NATS leaves the socket of a connection that was refused or cut to the garbage collector, which would blame a later test."""
    yield
    if "nats" in request.node.nodeid.lower() or "ingest" in request.node.nodeid:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
