"""Lazy steps that run where their data is: what must be known for that, and their handlers."""
