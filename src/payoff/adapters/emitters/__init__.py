"""Emitters: where lineage is told."""
