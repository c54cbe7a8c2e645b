"""HTTP and REST APIs with paging: JSON, JSON lines, CSV or Parquet bodies."""

from payoff.adapters.sources.http.options import CAPABILITIES, Options
from payoff.adapters.sources.http.source import connect

__all__ = ["CAPABILITIES", "Options", "connect"]
