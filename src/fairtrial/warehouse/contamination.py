"""Control units that the exposure log shows under a treatment, counted in the engine.

Everyone assigned to the control alone is looked at, active or not, and before anything is
left out: an exposure to another arm would take the unit out of the analysis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fairtrial.diagnostics.interference import InterferenceReason
from fairtrial.errors import UsageError
from fairtrial.spec.data import LogsData
from fairtrial.warehouse.logs import population_of, tables_read, units_differ
from fairtrial.warehouse.sources import Source
from fairtrial.warehouse.unit_table import ARM, UNIT, as_known_arm, check_column, is_no_arm


@dataclass(frozen=True, slots=True, kw_only=True)
class ContaminationCounts:
    """Exposed control units.

    Attributes:
        assigned: Units assigned to the control, and to no other arm.
        exposed: Those with an exposure to a treatment; None with a reason.
        units: Ids of the first of them, in order, where they were asked for.
        missing: Why `exposed` is None.
    """

    assigned: int
    exposed: int | None
    units: tuple[str, ...] = ()
    missing: InterferenceReason | None = None


def count_contamination(
    source: Source, data: LogsData, arms: Sequence[str], control: str, *, any_exposure: bool = False, listed: int = 0
) -> ContaminationCounts:
    """Count control units with an exposure to a treatment.

    Args:
        source: Open source.
        data: Where the logs are.
        arms: Arms of the spec.
        control: Key of the control.
        any_exposure: Whether a log without a column of arms holds exposures to the treatment alone, as of a campaign
            that the control must not get; without it such a log tells nothing.
        listed: How many ids to list, >= 0.

    Raises:
        UsageError: A table or column is not there, or `listed` is negative.
        DataError: The logs break a rule.
        ConnectorError: The engine failed.
    """
    if listed < 0:
        raise UsageError(f"The number of ids to list must be >= 0, got {listed}.")
    as_text = units_differ(source, tables_read(data, []))
    # Without exposures: whoever was assigned, torn by nothing but assignment itself.
    everyone = population_of(source, data.model_copy(update={"exposures": None}), arms, as_text=as_text).assigned
    everyone = everyone.filter(everyone.inside == 1)
    stored = [row[0] for row in source.rows(everyone.select(ARM).distinct()) if as_known_arm(row[0], arms) == control]
    controls = everyone.filter(everyone[ARM].isin(stored)).select(UNIT) if stored else everyone.limit(0).select(UNIT)
    assigned = int(source.rows(controls.count().as_table())[0][0])
    if data.exposures is None:
        return ContaminationCounts(assigned=assigned, exposed=None, missing="no_exposure_log")
    log = source.table(data.exposures.table)
    unit = check_column(log, data.exposures.unit)
    if data.exposures.arm in log.columns or "arm" in data.exposures.model_fields_set:
        treated = _treated(source, log, data.exposures.arm, arms, control)
    elif any_exposure:
        treated = log
    else:
        return ContaminationCounts(assigned=assigned, exposed=None, missing="no_exposure_arm")
    shown = treated.select(shown=(unit.cast("string") if as_text else unit)).distinct()
    both = source.kept(controls.semi_join(shown, controls[UNIT] == shown.shown))
    exposed = int(source.rows(both.count().as_table())[0][0])
    ids = source.rows(both.order_by(both[UNIT]).limit(listed)) if listed else []
    return ContaminationCounts(assigned=assigned, exposed=exposed, units=tuple(str(row[0]) for row in ids))


def _treated(source: Source, log: Any, name: str, arms: Sequence[str], control: str) -> Any:
    """Exposures to an arm of the spec that is not the control."""
    arm = check_column(log, name)
    spellings = [row[0] for row in source.rows(log.select(arm=arm).distinct())]
    treated = [shown for shown in spellings if not is_no_arm(shown) and as_known_arm(shown, arms) in set(arms) - {control}]
    return log.filter(arm.isin(treated)) if treated else log.limit(0)
