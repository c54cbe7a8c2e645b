"""Files in git -> Project: payoff.toml, charter.toml, contracts, pipeline, locks, git. The only room that reads project files."""

from payoff.project.load import find_root, inspect, load, schema_text

__all__ = ["find_root", "inspect", "load", "schema_text"]
