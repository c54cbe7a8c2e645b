"""The gateway: tables of a zone for readers in others, by Arrow Flight and the reading side of Flight SQL. Long-lived; started by its verb."""
