"""The verbs that compare runs or repeat them."""
