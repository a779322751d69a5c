"""Work that nobody asks for by hand: the nightly report, checks, alerts, aggregates, each run once when it is due."""
