"""`fairtrial power`: how many units a plan calls for."""

from __future__ import annotations

import msgspec

from fairtrial.cli.options import Catalog, Experiment, Json, Target
from fairtrial.cli.output import out, print_json, say
from fairtrial.cli.targets import find_spec
from fairtrial.evaluation.planning import plan_experiment
from fairtrial.reports.spec_text import render_plan
from fairtrial.stats.result import Unavailable

HINTS = {
    "no_mde": "Write it as plan.mde: the smallest lift worth detecting, such as 0.05 (5% of the control).",
    "no_baseline": "Write it as plan.baseline: the control's value in a period like the coming one.",
    "no_sd": "Write it as plan.baseline_sd: the standard deviation of the metric over units.",
    "no_margin": "Write it as the primary metric's margin: the largest harm that is still acceptable.",
    "impossible_target": "Look at plan.baseline and plan.mde: together they must give a value that the metric can have.",
    "unknown_allocation": "`fairtrial analyze` reads designs and data of which no shares are planned.",
}
"""What to do about a plan that says too little, by the code of what it lacks."""


def power(target: Target, experiment: Experiment = None, catalog: Catalog = None, as_json: Json = False) -> int:
    """How many units the plan calls for, and why. Exit 1 if it cannot be planned."""
    spec = find_spec(target, experiment, catalog).spec
    plan = plan_experiment(spec)
    if isinstance(plan, Unavailable):
        if as_json:
            print_json({"experiment": spec.key, "plan": None, "code": plan.code, "reason": plan.reason, "hint": HINTS.get(plan.code, "")})
        else:
            say("Not planned:", plan.reason, style="bold yellow")
            if hint := HINTS.get(plan.code):
                say("What to do:", hint, style="bold")
        return 1
    if as_json:
        print_json({"experiment": spec.key, "plan": msgspec.to_builtins(plan)})
    else:
        render_plan(plan, spec, out())
    return 0
