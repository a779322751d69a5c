"""Experiments as code over HTTP: the catalog's configurations, and whether each can be run (XC-50)."""
