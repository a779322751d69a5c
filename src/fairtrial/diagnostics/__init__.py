"""Checks of the data that a result rests on; each returns findings."""
