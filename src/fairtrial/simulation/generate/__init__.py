"""Synthetic data of an experiment: the real assignment first, then outcomes drawn from the plan."""

from fairtrial.simulation.generate.columns import Column
from fairtrial.simulation.generate.experiment import Synthetic, generate_data
from fairtrial.simulation.generate.recipe import LABEL, Recipe

__all__ = ["LABEL", "Column", "Recipe", "Synthetic", "generate_data"]
