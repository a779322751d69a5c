"""Metrics: what each kind needs read and how it is estimated."""
