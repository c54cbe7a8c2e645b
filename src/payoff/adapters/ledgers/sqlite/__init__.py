"""The ledger in one SQLite file."""

from payoff.adapters.ledgers.sqlite.ledger import CAPABILITIES, Options, SqliteLedger, connect, verify

__all__ = ["CAPABILITIES", "Options", "SqliteLedger", "connect", "verify"]
