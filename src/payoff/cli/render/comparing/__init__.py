"""Screens of the verbs that compare runs or repeat them."""
