"""DuckDB over memory-mapped Arrow IPC files."""

from payoff.adapters.engines.duckdb.engine import CAPABILITIES, Options, connect

__all__ = ["CAPABILITIES", "Options", "connect"]
