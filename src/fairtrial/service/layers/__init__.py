"""Who may be in an experiment at all, over HTTP: exclusion groups and the global holdout."""
