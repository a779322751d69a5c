"""Connected systems: what comes out of them, and what of it is stored."""
