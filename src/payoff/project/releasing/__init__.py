"""Releases as the project's files have them: what payoff.toml says, and what is committed under deploy/."""
