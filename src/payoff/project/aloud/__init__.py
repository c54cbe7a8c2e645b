"""Reads the charter as its owner would, in plain words."""
