"""Where tables are written to."""
