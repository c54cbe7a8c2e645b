"""What sources that answer SQL have in common, to inherit."""
