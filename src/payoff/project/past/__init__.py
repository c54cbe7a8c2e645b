"""The project as it was at an earlier run."""
