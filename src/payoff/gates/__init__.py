"""One file per gate: Evidence -> Verdict."""
