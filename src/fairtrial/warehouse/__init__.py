"""Where the data is: one query in its engine, arm statistics out."""
