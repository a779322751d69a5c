"""Every metric of a live rollout with bootstrap intervals, and the primary one by engagement before it (AD-05, AD-06, AD-09)."""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from fairtrial.analysis.rollout_days import metric_results
from fairtrial.service.rollouts.control import get_rollout
from fairtrial.service.rollouts.reading import rules_of_row, sessions_of_row
from fairtrial.service.rollouts.schemas import RolloutLevelsOut, RolloutMetricOut, RolloutResultsOut

NO_LEVELS = (
    "By engagement nothing is read: it must be known of every user before the rollout, and the present stage needs enough users of "
    "every arm, each in its share."
)


def results(session: Session, named: str, *, now: dt.datetime, resamples: int) -> RolloutResultsOut:
    """The sessions up to now, read once; equal sessions give equal figures.

    Args:
        session: A session.
        named: Id or name of the rollout.
        now: The moment.
        resamples: Of each bootstrap.

    Raises:
        NotFoundError: There is no such rollout.
    """
    from fairtrial.analysis.rollout_run import level_effects, segments_dict  # noqa: PLC0415 - loads the engines

    row = get_rollout(session, named)
    sessions, rules = sessions_of_row(session, row, now=now), rules_of_row(row)
    metrics = metric_results(rules, sessions, resamples=resamples)
    levels = level_effects(sessions, row.share, stage=len(row.changes_json) - 1)
    return RolloutResultsOut(
        name=row.name,
        stage=row.share,
        sessions=int(sessions.user.size),
        resamples=resamples,
        metrics=[RolloutMetricOut.model_validate(metric.to_dict()) for metric in metrics],
        segments=None if levels is None else RolloutLevelsOut.model_validate(segments_dict(levels)),
        segments_reason=NO_LEVELS if levels is None else None,
    )
