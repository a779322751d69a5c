"""Experiments over HTTP: create, list, read, and take them through their life."""
