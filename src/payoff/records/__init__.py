"""Frozen records that travel between rooms: no input, no output, no clock. One file per family."""
