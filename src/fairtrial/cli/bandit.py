"""`fairtrial bandit`: read the decision log of a bandit, or rehearse one before it meets anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from fairtrial.analysis.bandit_log import read_bandit_log, write_bandit_log
from fairtrial.bandits.readout import BanditLog, read_bandit
from fairtrial.cli.options import Json
from fairtrial.cli.output import out, print_json, say
from fairtrial.errors import UsageError
from fairtrial.reports.bandit import bandit_dict, render_bandit
from fairtrial.simulation.bandit_runs import World, run_bandit
from fairtrial.spec.bandit import BanditSpec, load_bandit


def bandit(
    spec: Annotated[Path, typer.Argument(help="A file with a spec of kind bandit.")],
    log: Annotated[
        str | None,
        typer.Option("--log", help="Parquet, CSV or NDJSON file of decisions: arm, reward, propensity_ARM of each; period, fixed, unit."),
    ] = None,
    means: Annotated[
        str | None, typer.Option("--means", help="Rehearse instead: true mean reward of each arm, as control=0.1,blue=0.12.")
    ] = None,
    sd: Annotated[float, typer.Option("--sd", help="Rehearsal: standard deviation of rewards of kind mean.", min=1e-12)] = 1.0,
    periods: Annotated[int, typer.Option("--periods", help="Rehearsal: how many.", min=1)] = 14,
    decisions: Annotated[int, typer.Option("--decisions", help="Rehearsal: in each period.", min=1)] = 1_000,
    seed: Annotated[int, typer.Option("--seed", help="Rehearsal: of the draws.", min=0)] = 0,
    write: Annotated[Path | None, typer.Option("--write", help="Rehearsal: CSV file for its log.")] = None,
    as_json: Json = False,
) -> int:  # fmt: skip
    """Results of a bandit's log, or of a rehearsal. Exit 1 when the spec's stop rule is not met by them."""
    known = load_bandit(spec)
    if (log is None) == (means is None):
        raise UsageError("A bandit is read from --log FILE or rehearsed with --means ARM=MEAN,...: give one of the two.")
    run = read_bandit_log(log, known) if log is not None else _rehearsed(known, means or "", (sd, periods, decisions, seed), write)
    reading = read_bandit(known, run)
    if as_json:
        print_json(bandit_dict(known, reading))
    else:
        render_bandit(known, reading, out())
    return 1 if getattr(reading.best, "stop", None) is False else 0


def _rehearsed(spec: BanditSpec, means: str, how: tuple[float, int, int, int], write: Path | None) -> BanditLog:
    sd, periods, decisions, seed = how
    run = run_bandit(spec, World(means=_means(means), sd=sd), periods=periods, decisions=decisions, rng=np.random.default_rng(seed))
    if write is not None:
        write_bandit_log(write, spec, run.log)
    even = run.log.n * (max(_values(spec, means)) - sum(_values(spec, means)) / len(spec.arms))
    say("Regret", f"{run.regret:.1f} in reward units; an even split for ever would have lost {even:.1f}.")
    return run.log


def _values(spec: BanditSpec, means: str) -> list[float]:
    sign = -1.0 if spec.reward.direction == "decrease" else 1.0
    return [sign * value for value in _means(means).values()]


def _means(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.rpartition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError as error:
            raise UsageError(f"--means is ARM=NUMBER with commas between, got {part!r}.") from error
    return found
