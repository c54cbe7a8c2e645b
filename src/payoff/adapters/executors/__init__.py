"""What runs user code."""
