"""CSV (also gzipped), Parquet, JSON lines and Arrow files, on local disk or any fsspec address."""

from payoff.adapters.sources.files.source import CAPABILITIES, Options, connect

__all__ = ["CAPABILITIES", "Options", "connect"]
