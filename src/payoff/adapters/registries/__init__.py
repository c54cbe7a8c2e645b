"""Where images are kept: a file or folder for each kind."""
