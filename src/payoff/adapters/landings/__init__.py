"""Landings."""
