"""Statistics: sufficient statistics, tests, intervals, corrections, power; numpy and scipy only."""
