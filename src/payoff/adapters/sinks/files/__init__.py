"""A table in one file: Parquet, CSV, JSON lines or Arrow, on local disk or where fsspec leads to.

Locally the file is written aside and renamed. Elsewhere it is written here and put there in one piece. Beside it lies `.NAME.payoff.json`, by which the
sink knows its table again; a file without one is somebody else's, and is left alone unless `adopt` is set.
"""

from payoff.adapters.sinks.files.sink import CAPABILITIES, Options, connect

__all__ = ["CAPABILITIES", "Options", "connect"]
