"""Numbers that were measured several times."""
