"""The verbs about environments."""
