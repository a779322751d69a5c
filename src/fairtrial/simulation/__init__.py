"""Imagined experiments: how a rule behaves before anybody is exposed to it."""

from fairtrial.simulation.rollout import RolloutConfig, RolloutData, RolloutEffects, simulate_rollout

__all__ = ["RolloutConfig", "RolloutData", "RolloutEffects", "simulate_rollout"]
