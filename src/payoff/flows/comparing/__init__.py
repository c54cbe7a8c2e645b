"""Two runs beside each other: a file for each verb, and what they share."""
