"""Contract suites, one per port: inherit one, say which adapter, and run it with pytest."""
