"""Decisions as feature flags: OFREP for any OpenFeature client, forced variants for QA, all from memory."""
