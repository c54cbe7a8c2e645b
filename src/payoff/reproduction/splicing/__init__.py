"""Code of two versions put together: functions, classes and constants of one in the modules of the other."""
