"""The front door: one file per verb, and `render`, the only code that prints."""
