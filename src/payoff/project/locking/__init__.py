"""uv locks: what they pin, and whether they are of what pyproject.toml asks for."""
