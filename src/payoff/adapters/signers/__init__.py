"""What signs: a file for each kind of key."""
