"""The log of predictions as it lies there: files, of which labels say for how long."""
