"""Project + State + source versions -> Plan: what would run, in which order, and why."""
