"""The population: profiles, touchpoints and conversions, loaded in batches or from files."""
