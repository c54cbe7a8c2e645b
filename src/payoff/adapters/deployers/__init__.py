"""What runs a release: a file for each kind of place."""
