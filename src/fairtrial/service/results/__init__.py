"""Results of experiments: the scorecard, the documented flat fields, the way there over time, the decision."""
