"""`fairtrial power`: how many units a plan calls for."""

from __future__ import annotations

import msgspec

from fairtrial.cli.options import Catalog, Experiment, Json, Target
from fairtrial.cli.output import out, print_json, talk
from fairtrial.cli.targets import find_spec
from fairtrial.evaluation.planning import plan_experiment
from fairtrial.reports.spec_text import render_plan
from fairtrial.stats.result import Unavailable


def power(target: Target, experiment: Experiment = None, catalog: Catalog = None, as_json: Json = False) -> int:
    """How many units the plan calls for, and why. Exit 1 if it cannot be planned."""
    spec = find_spec(target, experiment, catalog).spec
    plan = plan_experiment(spec)
    if isinstance(plan, Unavailable):
        if as_json:
            print_json({"experiment": spec.key, "plan": None, "code": plan.code, "reason": plan.reason})
        else:
            talk().print(f"[bold yellow]Not planned:[/] {plan.reason}", highlight=False)
        return 1
    if as_json:
        print_json({"experiment": spec.key, "plan": msgspec.to_builtins(plan)})
    else:
        render_plan(plan, spec, out())
    return 0
