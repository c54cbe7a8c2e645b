"""Screens of what is said of environments."""
