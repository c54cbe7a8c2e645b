"""What the user does: one file per verb."""
