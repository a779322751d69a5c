"""From arm statistics to a scorecard, as a pure function."""
