"""Queries that do not fit into memory, cut into ones that do."""
