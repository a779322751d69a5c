"""A scorecard as terminal text, HTML and JSON."""
