"""Joins that payoff.toml declares."""
