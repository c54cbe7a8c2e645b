"""For those who run other platforms: what was released, or a run that passed, in the form that these take."""
