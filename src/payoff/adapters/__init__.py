"""The outside world: one file or folder per thing, one third-party library each. Loaded by entry point only."""
