"""Queries for other databases: the same answer, or none."""
