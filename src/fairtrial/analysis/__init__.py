"""Reads a source and evaluates it."""
