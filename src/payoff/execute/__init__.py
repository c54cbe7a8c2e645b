"""Plan + Kit -> Outcomes. One handler per kind of stage; a scheduler that runs them side by side."""
