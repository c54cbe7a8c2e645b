"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# How long one example takes says nothing on a machine that is shared: benchmarks measure time, tests do not.
settings.register_profile("payoff", deadline=None)
settings.load_profile("payoff")
