"""Payoff's public Python API: what a project's own code may use. Imports nothing but the standard library."""

__version__ = "0.1.0"
