"""DuckDB keeps what every engine promises."""

from __future__ import annotations

from payoff.testing.engine import EngineSuite


class TestDuckEngine(EngineSuite):
    adapter = "payoff.engines:duckdb"
