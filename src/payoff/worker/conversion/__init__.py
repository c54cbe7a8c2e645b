"""Models in other forms than the one that they were fitted in."""
