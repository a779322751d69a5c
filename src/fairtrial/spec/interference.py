"""What is known of units that affect each other, which no exposure log would show."""

from __future__ import annotations

from fairtrial.spec.base import SpecModel


class InterferenceSpec(SpecModel):
    """How one unit's treatment may reach another unit's outcome. What is declared is reported as a violation of SUTVA."""

    shared_resource: bool = False
    """The arms draw on one resource (stock, budget, drivers), so that what the treatment takes the control lacks."""
    network_effects: bool = False
    """Units affect each other (friends, a marketplace), so that the control feels the treatment of others."""
