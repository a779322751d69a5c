"""Do experiments disturb each other: pairs, scans of all that run, and their trend (Part I)."""
