"""What tables promise: contracts in the Open Data Contract Standard (ODCS v3), read from YAML into records."""
