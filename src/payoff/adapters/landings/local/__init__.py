"""A folder of immutable Arrow files and one SQLite database for each table."""

from payoff.adapters.landings.local.landing import CAPABILITIES, Options, connect

__all__ = ["CAPABILITIES", "Options", "connect"]
