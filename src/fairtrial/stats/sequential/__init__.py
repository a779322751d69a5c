"""Sequential inference: group-sequential designs, and tests and intervals valid at every look."""
