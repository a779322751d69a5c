"""Evidence in, verdict out: the decision rule as data."""
