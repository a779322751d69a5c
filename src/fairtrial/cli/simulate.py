"""`fairtrial simulate`: a rollout before anybody is exposed to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from fairtrial.analysis.rollout_days import GuardrailRule, RolloutRules, check_stages
from fairtrial.analysis.rollout_run import RolloutRun, run_rollout
from fairtrial.cli.files import check_outputs
from fairtrial.cli.options import Json
from fairtrial.cli.output import out, print_json, say, talk
from fairtrial.decisions.ramp_evidence import LADDER, RolloutPolicy, preset_policy
from fairtrial.errors import UsageError
from fairtrial.reports.rollout import render_rollout
from fairtrial.reports.rollout_page import check_report_name, render_rollout_report
from fairtrial.simulation.rollout import LEVELS, METRICS, Effect, RolloutConfig, RolloutEffects

PATIENCE_SECONDS = 2.0
"""Work that is over before shows no progress bar."""
STEPS_BESIDE_DAYS = 3
DEFAULT_GUARDRAILS = ("error_rate=0.005", "latency=10")


def simulate(
    users: Annotated[int, typer.Option("--users", help="Users assigned.")] = 10_000,
    days: Annotated[int, typer.Option("--days", help="Days of the plan.")] = 14,
    seed: Annotated[int, typer.Option("--seed", help="Equal seeds give equal runs.")] = 42,
    noise: Annotated[float, typer.Option("--noise", help="How unlike users and sessions are; 1 is usual.")] = 1.0,
    share: Annotated[float | None, typer.Option("--share", help="Share of users in the treatment; default 0.5.")] = None,
    ramp: Annotated[bool, typer.Option("--ramp", help="Begin at the first stage and raise the share by the evidence.")] = False,
    stages: Annotated[str | None, typer.Option("--stages", help="Shares of the stages, as 0.05,0.1,0.25,0.5,1.")] = None,
    guardrail: Annotated[
        list[str] | None, typer.Option("--guardrail", help="METRIC=MARGIN, as error_rate=0.02; several; none for no guardrail.")
    ] = None,
    effect: Annotated[
        list[str] | None,
        typer.Option("--effect", help="METRIC=EFFECT of the treatment, or METRIC:LEVEL=EFFECT, as task_completion_time:low=0.04."),
    ] = None,
    min_days: Annotated[int | None, typer.Option("--min-days", help="Days before the first look; default half of --days.")] = None,
    practical: Annotated[float, typer.Option("--practical", help="Smallest relative improvement worth a rollout.")] = 0.02,
    preset: Annotated[str | None, typer.Option("--preset", help="How fast traffic may move: safe, neutral or explore.")] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Write a report: .html or .md.")] = None,
    as_json: Json = False,
) -> int:
    """Simulate a rollout of a feature day by day: early stopping, guardrails, segments, the decision.

    Exit 1 if the rollout ends in a rollback.
    """
    if report is not None:
        check_report_name(report)
        check_outputs({"--report": report}, [])
    if ramp and share is not None:
        raise UsageError("--ramp moves the share, --share holds it.", hint="Leave one of them out, or set --stages.")
    if days < 1:
        raise UsageError(f"--days must be >= 1, got {days}.")
    config = RolloutConfig(
        users=users, days=days, seed=seed, noise=noise, treatment_share=0.5 if share is None else share, effects=_effects(effect or [])
    )
    rules = RolloutRules(
        name="simulated-rollout",
        stages=LADDER if stages is None else check_stages([_number("--stages", part) for part in stages.split(",")]),
        policy=_policy(days, min_days, preset),
        practical_threshold=practical,
        guardrails=_guardrails(DEFAULT_GUARDRAILS if guardrail is None else guardrail),
        seed=seed,
    )
    with progress(days + STEPS_BESIDE_DAYS, quiet=as_json) as tell:
        run = run_rollout(config, rules, ramp=ramp, tell=tell)
    if report is not None:
        report.write_text(render_rollout_report(run, report), encoding="utf-8")
    _show(run, as_json=as_json)
    if report is not None:
        say("Report:", str(report))
    return 1 if run.last.decision == "ROLLBACK" else 0


@contextmanager
def progress(total: int, *, quiet: bool) -> Generator[Callable[[str], None]]:
    """A bar on the terminal, shown once the work has lasted two seconds.

    Args:
        total: Steps in all.
        quiet: Show nothing.
    """
    console = talk()
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    bar = Progress(TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(), console=console, transient=True)
    task = bar.add_task("", total=total)
    began = time.monotonic()

    def tell(text: str) -> None:
        bar.update(task, description=text, advance=1)
        if time.monotonic() - began > PATIENCE_SECONDS:
            bar.start()

    try:
        yield tell
    finally:
        bar.stop()


def _show(run: RolloutRun, *, as_json: bool) -> None:
    if as_json:
        print_json(run.to_dict())
    else:
        render_rollout(run, out())


def _policy(days: int, min_days: int | None, preset: str | None) -> RolloutPolicy:
    first = max(1, days // 2) if min_days is None else min_days
    policy = RolloutPolicy(min_days=first, max_days=days, monitoring="continuous")
    return policy if preset is None else preset_policy(preset, policy)


def _guardrails(given: tuple[str, ...] | list[str]) -> tuple[GuardrailRule, ...]:
    if list(given) == ["none"]:
        return ()
    rules: list[GuardrailRule] = []
    for text in given:
        metric, _, margin = text.partition("=")
        rules.append(GuardrailRule(metric=metric, margin=_number("--guardrail", margin)))
    return tuple(rules)


def _effects(given: list[str]) -> RolloutEffects:
    found: dict[str, Effect] = {}
    for text in given:
        name, _, number = text.partition("=")
        metric, _, level = name.partition(":")
        if metric not in METRICS:
            raise UsageError(f"--effect names one of {list(METRICS)}, got {metric!r}.", hint="For example --effect error_rate=0.01")
        value = _number("--effect", number)
        if not level:
            found[metric] = value
            continue
        before = found.get(metric)
        levels = {name: _at(before, name) for name in LEVELS}
        found[metric] = {**levels, level: value}
    return RolloutEffects(**found)


def _at(effect: Effect | None, level: str) -> float:
    if isinstance(effect, Mapping):
        return effect.get(level, 0.0)
    return 0.0 if effect is None else effect


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{option} takes a number, got {text!r}.", hint="For example --guardrail error_rate=0.02") from None
