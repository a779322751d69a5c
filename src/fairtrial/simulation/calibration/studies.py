"""Every calibration study by its method's name."""

from __future__ import annotations

from functools import cache

from fairtrial.errors import UnknownNameError
from fairtrial.simulation.calibration.of_bandits import bandit_studies
from fairtrial.simulation.calibration.of_best_arms import best_arm_studies
from fairtrial.simulation.calibration.of_covariates import covariate_studies
from fairtrial.simulation.calibration.of_cutoffs import cutoff_studies
from fairtrial.simulation.calibration.of_designs import design_studies
from fairtrial.simulation.calibration.of_families import family_studies
from fairtrial.simulation.calibration.of_looks import look_studies
from fairtrial.simulation.calibration.of_means import mean_studies
from fairtrial.simulation.calibration.of_pairs import pair_studies
from fairtrial.simulation.calibration.of_panels import panel_studies
from fairtrial.simulation.calibration.of_posteriors import posterior_studies
from fairtrial.simulation.calibration.of_rates import rate_studies
from fairtrial.simulation.calibration.of_resampling import resampling_studies
from fairtrial.simulation.calibration.of_sequences import sequence_studies
from fairtrial.simulation.calibration.of_series import series_studies
from fairtrial.simulation.calibration.study import Study


@cache
def all_studies() -> dict[str, Study]:
    """All studies, in the order of the documentation."""
    groups = (
        (mean_studies(), pair_studies(), covariate_studies()),
        (rate_studies(), design_studies(), family_studies()),
        (look_studies(), sequence_studies(), resampling_studies()),
        (posterior_studies(), best_arm_studies()),
        (panel_studies(), cutoff_studies(), series_studies()),
        (bandit_studies(),),
    )
    return {study.method: study for chapter in groups for group in chapter for study in group}


def study_named(method: str) -> Study:
    """The study of a method.

    Raises:
        UnknownNameError: There is none.
    """
    studies = all_studies()
    if method not in studies:
        raise UnknownNameError.among("calibration study", method, studies)
    return studies[method]
