"""Resampling: bootstrap intervals and randomisation tests, reproducible from an injected generator."""
