"""What runs inside a user's environment: the standard library only, and pyarrow when tables cross."""
