"""A run's result as an image that is the same wherever it is made, and a signed record of what it is. Nothing here touches disk or net."""
