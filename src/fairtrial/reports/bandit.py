"""A bandit's reading: as plain values, and in the terminal with a line an arm and a line a contrast."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from fairtrial.bandits.readout import BanditReading, Difference
from fairtrial.reports.formatting import DASH, clean, count, p_value
from fairtrial.reports.pen import Pen
from fairtrial.spec.bandit import BanditSpec
from fairtrial.stats.result import Interval, Unavailable

READINGS = ("adaptive", "over_time", "fixed")


def bandit_dict(spec: BanditSpec, reading: BanditReading) -> dict[str, Any]:
    """A reading as plain values."""
    return {
        "key": spec.key,
        "n": reading.n,
        "arms": {arm: asdict(mean) for arm, mean in reading.arms.items()},
        "contrasts": [asdict(one) for one in reading.contrasts],
        "periods": [asdict(one) for one in reading.periods],
        "best_arm": asdict(reading.best),
    }


def render_bandit(spec: BanditSpec, reading: BanditReading, console: Console) -> None:
    """Print arms, contrasts to the control, and which arm is best."""
    pen = Pen(console)
    pen.heading("Bandit", f"{clean(spec.key)}, {count(reading.n)} rewarded decisions")
    arms = _table("arm", "pulls", "naive", "mean", "95% interval", "best")
    for arm, mean in reading.arms.items():
        best = DASH if isinstance(reading.best, Unavailable) else f"{reading.best.probability_best.get(arm, 0.0):.3f}"
        if isinstance(mean, Unavailable):
            arms.add_row(clean(arm), DASH, DASH, DASH, clean(mean.reason), best)
        else:
            naive = DASH if mean.naive is None else f"{mean.naive:.4f}"
            arms.add_row(clean(arm), count(mean.pulls), naive, f"{mean.value:.4f}", _interval(mean.interval), best)
    pen.out(arms, indent=2)
    contrasts = _table(f"minus {clean(spec.control)}", "reading", "difference", "95% interval", "p")
    for one in reading.contrasts:
        for name in READINGS:
            found: Difference | Unavailable = getattr(one, name)
            if isinstance(found, Difference):
                contrasts.add_row(clean(one.arm), name, f"{found.difference:+.4f}", _interval(found.interval), p_value(found.p_value))
            elif found.code != "no_fixed_slice":
                contrasts.add_row(clean(one.arm), name, DASH, clean(found.reason), DASH)
    pen.out(contrasts, indent=2)
    if isinstance(reading.best, Unavailable):
        pen.out(pen.text(f"Which arm is best cannot be said: {clean(reading.best.reason)}", "yellow"), indent=2)
        return
    best = reading.best
    probability, loss = best.probability_best[best.arm], best.expected_loss[best.arm]
    said = f"{clean(best.arm)} is best with probability {probability:.4f}; expected loss {loss:.5f}."
    rule = {True: " The stop rule is met.", False: " The stop rule is not met.", None: ""}[best.stop]
    pen.out(pen.text(said + rule, "green" if best.stop else ""), indent=2)


def _table(*heads: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place == 0 or head == "reading" else "right", overflow="fold")
    return table


def _interval(interval: Interval) -> str:
    return f"[{interval.low:.4f}, {interval.high:.4f}]"
