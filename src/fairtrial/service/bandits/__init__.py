"""Bandits: shares that follow rewards, over HTTP."""
