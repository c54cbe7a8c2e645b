"""A front of our own: a process that hands requests on."""
