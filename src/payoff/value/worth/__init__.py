"""What a model could be worth before there is one, and what the worth of one hangs on."""
