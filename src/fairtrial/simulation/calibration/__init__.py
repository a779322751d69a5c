"""Receipts: what each method promises, and what was measured."""

from fairtrial.simulation.calibration.studies import all_studies, study_named
from fairtrial.simulation.calibration.study import Case, CaseResult, Simulated, Study, StudyResult, run_study

__all__ = ["Case", "CaseResult", "Simulated", "Study", "StudyResult", "all_studies", "run_study", "study_named"]
