"""What makes environments between two: a file for each kind of lock."""
