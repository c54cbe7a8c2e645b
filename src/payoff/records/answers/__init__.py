"""What the front door asks flows for, and what it is told."""
