"""From arm statistics to a scorecard, as a pure function."""

from fairtrial.evaluation.evaluate import evaluate
from fairtrial.evaluation.looks import Look
from fairtrial.evaluation.scorecard import Comparison, Guardrail, Scorecard

__all__ = ["Comparison", "Guardrail", "Look", "Scorecard", "evaluate"]
