"""Contract suites of what releases need."""
