"""Assigning units: by list, by file, one at a time."""
