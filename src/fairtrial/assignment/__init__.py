"""Assignment as a pure function of unit, experiment and salt."""
