"""What stands before deployments: a folder for each kind."""
