"""Two runs and what lies between them."""
