"""Streams as tables: what lands of them, and how messages become rows."""
