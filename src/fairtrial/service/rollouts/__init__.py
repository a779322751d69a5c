"""Adaptive rollouts over HTTP: users assigned, sessions recorded, the next step decided, and nothing changed before it is applied."""
