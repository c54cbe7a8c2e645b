"""Verbs that ask a run's model."""
