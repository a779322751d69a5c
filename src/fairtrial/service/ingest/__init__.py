"""Exposures, outcomes and events, as they come in from other systems."""
