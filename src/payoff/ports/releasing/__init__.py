"""What a release needs of the world outside: where images are kept, and keys that sign."""
