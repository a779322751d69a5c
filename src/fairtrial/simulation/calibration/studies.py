"""Every calibration study by its method's name."""

from __future__ import annotations

from functools import cache

from fairtrial.errors import UnknownNameError
from fairtrial.simulation.calibration.of_families import family_studies
from fairtrial.simulation.calibration.of_looks import look_studies
from fairtrial.simulation.calibration.of_means import mean_studies
from fairtrial.simulation.calibration.of_pairs import pair_studies
from fairtrial.simulation.calibration.of_rates import rate_studies
from fairtrial.simulation.calibration.of_resampling import resampling_studies
from fairtrial.simulation.calibration.study import Study


@cache
def all_studies() -> dict[str, Study]:
    """All studies, in the order of the documentation."""
    groups = (mean_studies(), pair_studies(), rate_studies(), family_studies(), look_studies(), resampling_studies())
    return {study.method: study for group in groups for study in group}


def study_named(method: str) -> Study:
    """The study of a method.

    Raises:
        UnknownNameError: There is none.
    """
    studies = all_studies()
    if method not in studies:
        raise UnknownNameError.among("calibration study", method, studies)
    return studies[method]
