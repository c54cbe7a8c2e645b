"""From what lies on this machine to the layers of an image."""
