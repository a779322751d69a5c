"""Where the numbers come from: the source, what was left out, and the hashes that tie them to a spec and to data."""

from __future__ import annotations

from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.reports.formatting import clean, count
from fairtrial.reports.words import ERROR_CONTROL, phrase
from fairtrial.stats.reading import Intake

SHAPES = {"units": "one row per unit", "logs": "assignment and event logs", "aggregates": "ready aggregates"}
POPULATIONS = {
    "intention_to_treat": "intention to treat: every assigned unit",
    "triggered": "triggered: units from their first exposure",
}
LEFT_OUT: tuple[tuple[str, str], ...] = (
    ("units_in_two_arms", "Units in more than one arm, left out"),
    ("rows_without_arm", "Rows without an arm, left out"),
    ("repeated_rows", "Repeated rows of a unit, merged"),
    ("duplicate_events", "Repeated events, dropped"),
    ("unknown_unit_events", "Events of units never assigned, left out"),
    ("early_events", "Events before a unit's start, left out"),
    ("late_events", "Events after a unit's window, left out"),
    ("untimed_events", "Events without a time, left out"),
)


def provenance(scorecard: Scorecard) -> tuple[tuple[str, str], ...]:
    """What ties the scorecard to its spec, its data and its code, as (name, value)."""
    intake = scorecard.intake
    error_control = ERROR_CONTROL.get(scorecard.error_control, phrase(scorecard.error_control))
    facts = [
        ("Data source", intake.source),
        ("Engine", intake.engine),
        ("Data shape", SHAPES[intake.shape]),
        ("Population", POPULATIONS[intake.population]),
        ("Error control", error_control),
        ("Looks before this one", count(scorecard.looks)),
        ("Design version", scorecard.version),
        ("Spec hash", scorecard.spec_hash),
        ("Data fingerprint", intake.fingerprint),
        ("Code version", f"fairtrial {scorecard.code_version}"),
    ]
    if scorecard.as_of:
        facts.append(("As of", scorecard.as_of))
    return tuple((name, clean(value)) for name, value in facts)


def intake_facts(intake: Intake) -> tuple[tuple[str, str], ...]:
    """What was read and what was left out, as (name, value); zeros are summed up in one line."""
    facts = [("Rows read", count(intake.rows)), ("Units analysed", count(intake.units))]
    if not intake.units_checked:
        facts.append(("Repeated units", "could not be seen: no unit column was named"))
    left = [(label, count(getattr(intake, name))) for name, label in LEFT_OUT if getattr(intake, name)]
    left += [(f"Rows of unknown arm {clean(arm)!r}, left out", count(n)) for arm, n in intake.unknown_arms.items()]
    facts += left or [("Left out", "nothing")]
    facts += [(f"Assigned to {clean(arm)}", count(n)) for arm, n in intake.assigned.items()]
    facts += [(f"Groups in column {clean(column)}", count(n)) for column, n in intake.clusters.items()]
    return tuple(facts)
