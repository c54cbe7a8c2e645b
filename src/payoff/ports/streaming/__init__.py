"""Ports around streams."""
