"""The verbs of releases."""
