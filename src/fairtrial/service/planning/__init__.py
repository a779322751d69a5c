"""Planning a holdout: how many profiles, on which channel, for how long, and whether it is ready."""
