"""What runs SQL over Arrow tables."""
