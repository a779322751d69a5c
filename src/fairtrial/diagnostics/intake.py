"""What was left out on the way in, and whether that can be lived with."""

from __future__ import annotations

from fairtrial.diagnostics.finding import Finding, Severity
from fairtrial.stats.exact import binomial_exact_p
from fairtrial.stats.reading import Intake

TWO_ARMS_LIMIT = 0.001
"""Share of units in two arms above which the comparison is not to be trusted."""

UNPAIRED_LIMIT = 0.001
"""p-value below which rows without a partner come from one arm more often than chance would have it."""

UNKNOWN_EVENTS_LIMIT = 0.05
"""Share of events of unknown units above which the join is suspect."""


def check_intake(intake: Intake) -> list[Finding]:
    """Findings on units and events that were counted but not analysed."""
    return [*_units(intake), *_rows(intake), *_events(intake)]


def _units(intake: Intake) -> list[Finding]:
    found: list[Finding] = []
    if intake.units_in_two_arms:
        share = intake.units_in_two_arms / (intake.units + intake.units_in_two_arms)
        severity: Severity = "critical" if share > TWO_ARMS_LIMIT else "warning"
        found.append(
            Finding(
                code="units_in_two_arms",
                severity=severity,
                message=f"{intake.units_in_two_arms:,} units ({share:.2%}) were seen in more than one arm and left out.",
                action="Find out why assignment was not sticky; above 0.1% the comparison is not to be trusted.",
                numbers={"units": intake.units_in_two_arms, "share": share, "limit": TWO_ARMS_LIMIT},
            )
        )
    if intake.repeated_rows:
        found.append(
            Finding(
                code="rows_are_not_units",
                severity="warning",
                message=f"The data has {intake.rows:,} rows for {intake.units:,} units; each unit's rows were collapsed into one value.",
                action="Nothing, if the rows are repeated measurements: treating them as units would overstate the evidence.",
                numbers={"rows": intake.rows, "units": intake.units},
            )
        )
    if intake.unpaired:
        found.append(_unpaired(intake))
    if intake.clusters:
        named = ", ".join(f"{column} ({groups:,} values)" for column, groups in intake.clusters.items())
        found.append(
            Finding(
                code="clustered_assignment",
                severity="warning",
                message=f"Rows group by {named} and all rows of a group lie in one arm: it looks as if groups, not rows, were randomised.",
                action="Set data.unit to that column with data.repeated: mean; analysing rows as units would overstate the evidence.",
                numbers=dict(intake.clusters),
            )
        )
    if not intake.units_checked and intake.shape == "units":
        found.append(
            Finding(
                code="unit_unchecked",
                severity="info",
                message="No unit column was named, so each row was taken for one randomised unit and repeats could not be seen.",
                action="Name the unit column (data.unit).",
            )
        )
    return found


def _unpaired(intake: Intake) -> Finding:
    """Rows that lost their pair: where the arms lose unequally, the pairs that are left are no longer chosen by chance."""
    lost = sum(intake.unpaired.values())
    p_value = binomial_exact_p(max(intake.unpaired.values()), lost, 0.5)
    differs = p_value < UNPAIRED_LIMIT
    listed = ", ".join(f"{arm} {rows:,}" for arm, rows in intake.unpaired.items())
    unequal = f", more often in one arm than in the other (p = {p_value:.2g})" if differs else ""
    return Finding(
        code="incomplete_pairs",
        severity="critical" if differs else "warning",
        message=f"{lost:,} rows have no partner in the other arm and were left out ({listed}){unequal}.",
        action="Find out why the partners are missing: pairs that are lost because of the treatment bias the comparison.",
        numbers={"rows": lost, "p_value": p_value, **intake.unpaired},
    )


def _rows(intake: Intake) -> list[Finding]:
    found: list[Finding] = []
    if intake.rows_without_arm:
        found.append(
            Finding(
                code="rows_without_arm",
                severity="warning",
                message=f"{intake.rows_without_arm:,} rows name no arm and were left out; they are not control.",
                action="Find out who they are: units lost after assignment bias the comparison.",
                numbers={"rows": intake.rows_without_arm},
            )
        )
    if intake.unknown_arms:
        listed = ", ".join(f"{arm!r} ({rows:,})" for arm, rows in intake.unknown_arms.items())
        found.append(
            Finding(
                code="unknown_arms",
                severity="warning",
                message=f"Rows of arms that the spec does not declare were left out: {listed}.",
                action="Declare the arm, filter it with data.where, or correct its name.",
                numbers=dict(intake.unknown_arms),
            )
        )
    return found


def _events(intake: Intake) -> list[Finding]:
    analysed = intake.rows
    kinds: list[tuple[str, int, str, str]] = [
        (
            "duplicate_events",
            intake.duplicate_events,
            "repeat an event id and were dropped",
            "Nothing, if retries of the sender explain them.",
        ),
        (
            "unknown_unit_events",
            intake.unknown_unit_events,
            "belong to units that were never assigned and were left out",
            "Check that both logs use the same unit id.",
        ),
        (
            "early_events",
            intake.early_events,
            "came before their unit's start and were left out",
            "Nothing, if units were active before; otherwise check the clocks.",
        ),
        ("late_events", intake.late_events, "came after their unit's window and were left out", "Nothing: that is the window's purpose."),
        ("untimed_events", intake.untimed_events, "carry no time and were left out", "Find out why the time is missing."),
    ]
    found: list[Finding] = []
    for code, count, what, action in kinds:
        if count:
            suspect = code == "untimed_events" or (code == "unknown_unit_events" and count > UNKNOWN_EVENTS_LIMIT * max(analysed, 1))
            severity: Severity = "warning" if suspect else "info"
            found.append(
                Finding(code=code, severity=severity, message=f"{count:,} outcome events {what}.", action=action, numbers={"events": count})
            )
    return found
