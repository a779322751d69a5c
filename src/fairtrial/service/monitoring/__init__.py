"""Reads between the results: sizes, an any-time look, the next shares, what a covariate saves (IN-30..IN-33)."""
