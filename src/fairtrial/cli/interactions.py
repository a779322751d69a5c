"""`fairtrial interaction` and `fairtrial scan-interactions`: do experiments that run at once disturb each other?"""

from __future__ import annotations

from typing import Annotated, cast

import typer

from fairtrial.analysis.interactions import Located, Scan, read_pair
from fairtrial.analysis.interactions import scan_interactions as scan_all
from fairtrial.cli.options import Catalog, Json
from fairtrial.cli.output import out, print_json, steps
from fairtrial.cli.targets import find_many, find_spec
from fairtrial.diagnostics.memberships import Method
from fairtrial.diagnostics.pair_analysis import analyze_pair
from fairtrial.diagnostics.pair_tests import MIN_EXPECTED, MIN_USERS
from fairtrial.errors import UsageError
from fairtrial.evaluation.within_arms import verdicts_within_arms
from fairtrial.reports.interaction_rows import pair_dict, scan_dict
from fairtrial.reports.interactions import render_pair, render_scan
from fairtrial.spec import LoadedSpec

Alpha = Annotated[float, typer.Option("--alpha", help="Rate of false discoveries, in (0, 1).")]
MinUsers = Annotated[int, typer.Option("--min-users", min=2, help="Units that each cell needs before it is tested.")]
MinExpected = Annotated[
    float, typer.Option("--min-expected", min=1, help="For rates: converters, and others, that each cell must be expected to have.")
]
Source = Annotated[str | None, typer.Option("--source", help="Read this address instead of the specs'.")]
ENDED = {"draft", "stopped", "completed", "decided", "archived"}
"""Statuses of experiments that do not run; a spec without a status counts as running."""


def interaction(
    a: Annotated[str, typer.Argument(help="The first experiment: a spec file or a name in the catalog.", show_default=False)],
    b: Annotated[str, typer.Argument(help="The second experiment.", show_default=False)],
    catalog: Catalog = None,
    source: Source = None,
    alpha: Alpha = 0.05,
    min_users: MinUsers = MIN_USERS,
    min_expected: MinExpected = MIN_EXPECTED,
    as_json: Json = False,
) -> int:
    """Say whether the effect of one experiment depends on the arm of the other.

    Exit 1 if running both is of high risk: they share units and an interaction was found.
    """
    first, second = (_located(find_spec(target, catalog=catalog), source) for target in (a, b))
    with steps(quiet=as_json) as report:
        cells = read_pair(first, second, progress=report)
        found = analyze_pair(cells, alpha=alpha, min_users=min_users, min_expected=min_expected)
        verdicts = verdicts_within_arms(first.spec, second.spec, cells)
    if as_json:
        print_json(pair_dict(found, verdicts))
    else:
        render_pair(found, out(), verdicts)
    return 1 if found.risk == "high" else 0


def scan_interactions(
    targets: Annotated[
        list[str], typer.Argument(help="Spec files, folders of them, catalogs, or names in the catalog.", show_default=False)
    ],
    catalog: Catalog = None,
    source: Source = None,
    every: Annotated[bool, typer.Option("--all", help="Also experiments that do not run: drafts, and those that ended.")] = False,
    alpha: Alpha = 0.05,
    min_users: MinUsers = MIN_USERS,
    min_expected: MinExpected = MIN_EXPECTED,
    method: Annotated[
        str | None,
        typer.Option("--method", help="exact, or sample: one unit in 32. [default: by size]", show_default=False),
    ] = None,
    as_json: Json = False,
) -> int:
    """Look at every pair of experiments that run at once: how they overlap, and whether they interact.

    Exit 1 if a pair is of high risk.
    """
    specs = [found for target in targets for found in find_many(target, catalog)]
    located = [_located(found, source) for found in specs if every or found.spec.status not in ENDED]
    if method not in {None, "exact", "sample"}:
        raise UsageError(f"--method must be exact or sample, got {method!r}.", hint="Leave it out to choose by size.")
    with steps(quiet=as_json) as report:
        wanted = cast("Method | None", method)
        found = scan_all(located, alpha=alpha, min_users=min_users, min_expected=min_expected, method=wanted, progress=report)
    if as_json:
        how = {
            "experiments": list(found.experiments),
            "method": found.method,
            "sampling_rate": 1.0 / found.sampled,
            "shared_users_std_error": found.shared_std_error,
            "counted_in": found.counted_in,
            "data_source": list(found.data_source),
            "skipped": dict(found.skipped),
        }
        print_json(scan_dict(list(found.entries), experiments=len(found.experiments), how=how))
    else:
        render_scan(found.entries, found.experiments, out(), method=_how(found), skipped=found.skipped)
    return 1 if any(entry.overall_risk == "high" for entry in found.entries) else 0


def _how(found: Scan) -> str:
    if found.sampled == 1:
        return "exact"
    return f"from one unit in {found.sampled}: shared users are estimates, standard error {found.shared_std_error:,.0f} at most"


def _located(found: LoadedSpec, source: str | None) -> Located:
    return Located(spec=found.spec, base=None if source is not None else found.base, source=source)
