"""The screens of releases."""
