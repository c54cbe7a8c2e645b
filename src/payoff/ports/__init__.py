"""Protocols towards the outside world, at most five methods each. Record in, record out."""
