"""Trackers: where runs are shown to people's usual tools."""
