"""What leaves the project: tables on their way to sinks."""
