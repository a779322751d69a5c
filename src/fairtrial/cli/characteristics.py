"""`fairtrial operating-characteristics`: how often a spec's rule launches what it should not, and misses what it should."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer

from fairtrial.analysis.history import measure_history
from fairtrial.cli.files import check_outputs, write_text
from fairtrial.cli.options import Catalog, Experiment, Json
from fairtrial.cli.output import Report, out, print_json, say, steps
from fairtrial.cli.targets import find_spec, randomised
from fairtrial.errors import FairtrialError, UsageError
from fairtrial.reports.characteristics import characteristics_page, render_characteristics
from fairtrial.simulation.characteristics import OperatingCharacteristics, default_effects, operating_characteristics
from fairtrial.simulation.looks import simulated_looks
from fairtrial.simulation.world import Baseline, World, parse_baseline, world_of_plan
from fairtrial.spec import LoadedSpec
from fairtrial.spec.experiment import ExperimentSpec

Targets = Annotated[list[str], typer.Argument(help="Spec files, folders of them, or names in the catalog.", show_default=False)]
Effects = Annotated[
    list[float] | None,
    typer.Option("--effect", help="True improvement of the treatment, on the scale of the plan's MDE; repeat for several."),
]
Others = Annotated[
    list[str] | None,
    typer.Option("--move", help="True effect on another metric, METRIC=EFFECT in its unit, treatment minus control; repeat."),
]
Baselines = Annotated[
    list[str] | None, typer.Option("--baseline", help="What the control shows on a metric, METRIC=MEAN or METRIC=MEAN,SD; repeat.")
]


def characteristics(
    targets: Targets,
    experiment: Experiment = None,
    catalog: Catalog = None,
    effect: Effects = None,
    move: Others = None,
    runs: Annotated[int, typer.Option("--runs", max=10_000_000, help="Simulated experiments for each true effect.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the random numbers: the same seed gives the same answer.")] = 1,
    history: Annotated[str | None, typer.Option("--history", help="Measure the units from this address, read as the spec's data.")] = None,
    baseline: Baselines = None,
    correlation: Annotated[float, typer.Option("--correlation", help="Of every two metrics over units, without history.")] = 0.0,
    looks: Annotated[int | None, typer.Option("--looks", help="Equally spaced looks, instead of the plan's own.")] = None,
    daily_units: Annotated[float | None, typer.Option("--daily-units", help="New units a day, for durations.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with the plot to this file (of one spec).")] = None,
    as_json: Json = False,
) -> int:
    """Simulate the spec's own rule: what it concludes, against what is true.

    Exit 1 if no spec could be simulated.
    """
    if html is not None and len(targets) != 1:
        raise UsageError(f"--html writes the page of one spec, got {len(targets)}.")
    given = dict(parse_baseline(text) for text in baseline or [])
    others = dict(parse_move(text) for text in move or [])
    answers: list[OperatingCharacteristics] = []
    refused: list[dict[str, str]] = []
    for target in targets:
        found = find_spec(target, experiment, catalog)
        check_outputs({"--html": html}, [found.path])
        try:
            randomised(found, "fairtrial oc")
            with steps(quiet=as_json) as report:
                world = _world(found, history, given, correlation, report)
                report(f"Simulating {runs:,} experiments for each true effect")
                answer = operating_characteristics(
                    found.spec,
                    world,
                    simulated_looks(found.spec, looks=looks, daily_units=daily_units),
                    effects=_effects(found.spec, effect),
                    others=others,
                    runs=runs,
                    rng=np.random.default_rng(seed),
                )
        except FairtrialError as error:
            if len(targets) == 1:
                raise
            refused.append({"experiment": found.spec.key, "code": error.code, "detail": error.message, "hint": error.hint})
            say("Not simulated:", f"{found.spec.key}. {error.message}", style="bold yellow")
            continue
        answers.append(answer)
        if not as_json:
            render_characteristics(answer, out())
        if html is not None:
            write_text(html, characteristics_page(answer))
            say("Page:", str(html))
    if as_json:
        print_json({"experiments": [msgspec.to_builtins(answer) | _rates(answer) for answer in answers], "not_simulated": refused})
    return 0 if answers else 1


def parse_move(text: str) -> tuple[str, float]:
    """A true effect written as `metric=effect`.

    Raises:
        UsageError: It is written otherwise.
    """
    key, separator, number = text.rpartition("=")
    try:
        effect = float(number)
    except ValueError as error:
        raise UsageError(f"A true effect is written metric=effect, got {text!r}.", hint="Such as returns=0.002.") from error
    if not separator or not key or not np.isfinite(effect):
        raise UsageError(f"A true effect is written metric=effect, got {text!r}.", hint="Such as returns=0.002.")
    return key, effect


def _effects(spec: ExperimentSpec, asked: Sequence[float] | None) -> Sequence[float]:
    return asked or default_effects(spec)


def _world(found: LoadedSpec, history: str | None, given: dict[str, Baseline], correlation: float, report: Report) -> World:
    if history is None:
        return world_of_plan(found.spec, baselines=given, correlation=correlation)
    if given or correlation:
        raise UsageError(
            "History measures baselines and correlations itself.", hint="Leave out --baseline and --correlation, or --history."
        )
    return measure_history(found.spec, source=history, progress=report)


def _rates(answer: OperatingCharacteristics) -> dict[str, object]:
    return {
        "false_launch_rate": msgspec.to_builtins(answer.false_launch_rate),
        "missed_win_rate": msgspec.to_builtins(answer.missed_win_rate),
    }
