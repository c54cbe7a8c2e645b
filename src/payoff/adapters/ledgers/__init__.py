"""Ledgers: where run records live."""
