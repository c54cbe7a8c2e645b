"""Errors, money, ids, hashing, clock, text: what every room may use and nothing of ours that it imports."""
