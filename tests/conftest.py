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


@pytest.fixture(autouse=True)
def _collected(request: pytest.FixtureRequest) -> Iterator[None]:
    """The client of NATS leaves the socket of a connection that was refused or cut to the garbage collector, which would blame a later test."""
    yield
    if "nats" in request.node.nodeid.lower() or "ingest" in request.node.nodeid:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
