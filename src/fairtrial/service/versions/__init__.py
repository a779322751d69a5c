"""Experiments from whole specs, and their versions: what has started is frozen, a change is a new version."""
