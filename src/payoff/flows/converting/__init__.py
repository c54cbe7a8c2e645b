"""A run's model in another form than the one that it was fitted in, held against what the run said."""
