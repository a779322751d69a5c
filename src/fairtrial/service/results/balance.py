"""Were the groups alike before: standardised mean differences of what profiles hold (HO-43)."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from fairtrial.errors import DataError
from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.service.experiments.routing import stored_spec
from fairtrial.stats.balance import balance_from_moments
from fairtrial.stats.moments import Moments
from fairtrial.storage.readings import POPULATION

COVARIATES = ("age", "ltv")
THRESHOLD = 0.1
"""|SMD| above which a covariate is flagged (II.b)."""

STATEMENT = """
SELECT arm, count(*), max(mean), sum(x - mean), sum((x - mean) * (x - mean)) FROM (
  SELECT a."group" AS arm, p.{column} AS x, avg(p.{column}) OVER (PARTITION BY a."group") AS mean
  FROM experiment_assignments a JOIN profiles p ON p.id = a.profile_id
  WHERE p.{column} IS NOT NULL AND {population}
) centred GROUP BY arm
"""


def read_balance(session: Session, reference: str) -> dict[str, Any]:
    """Means, spreads and standardised difference of each covariate; null with a reason where there is none.

    Raises:
        NotFoundError: There is no such experiment.
    """
    row = get_experiment(session, reference)
    spec = stored_spec(row)
    covariates = [_covariate(session, row.id, name, spec.treatments[0], spec.control) for name in COVARIATES]
    return {"experiment_id": row.id, "covariates": covariates, "threshold": THRESHOLD}


def _covariate(session: Session, experiment_id: int, name: str, treatment: str, control: str) -> dict[str, Any]:
    statement = text(STATEMENT.format(column=name, population=POPULATION))
    groups: dict[str, Moments] = {}
    for arm, n, mean, off, squares in session.connection().execute(statement, {"experiment": experiment_id}):
        groups[arm] = Moments(n=n, mean=mean + off / n, m2=max(0.0, squares - off * off / n))
    fields: dict[str, Any] = {"name": name}
    for label, arm in (("treatment", treatment), ("control", control)):
        found = groups.get(arm)
        fields |= {
            f"{label}_n": 0 if found is None else found.n,
            f"{label}_mean": None if found is None else found.mean,
            f"{label}_sd": None if found is None or found.n < 2 else math.sqrt(found.variance),
        }
    if treatment not in groups or control not in groups:
        return fields | {"smd": None, "flag": None, "reason": f"no profile of a group has a value of {name}"}
    try:
        smd = balance_from_moments(groups[control], groups[treatment]).smd
    except DataError as error:
        return fields | {"smd": None, "flag": None, "reason": error.message}
    return fields | {"smd": smd, "flag": abs(smd) > THRESHOLD, "reason": None}
