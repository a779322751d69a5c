"""Segments in the terminal and on the page: small forests, honest words, nothing ranked (XC-34, III.b)."""

from __future__ import annotations

import dataclasses
import io

import msgspec
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import fairtrial as ft
from fairtrial import parse_spec
from fairtrial.evaluation.planning import plan_experiment
from fairtrial.reports.html import render_html
from fairtrial.reports.spec_text import render_plan, render_spec
from fairtrial.reports.terminal import render_terminal
from fairtrial.reports.views import view


def frame(n: int = 8_000, arms: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    country = rng.choice(["d<e>", "fr", "it", "li"], n, p=[0.5, 0.29, 0.2, 0.01])
    arm = rng.integers(0, arms, n)
    return pd.DataFrame(
        {
            "arm": np.array(["control", "green", "blue"])[arm],
            "country": country,
            "bought": (rng.random(n) < 0.3 + np.where(country == "it", -0.12, 0.07) * (arm > 0)).astype(int),
            "wait": rng.gamma(2.0, 2.0, n),
        }
    )


def card(arms: int = 2, **plan):
    metrics = [ft.proportion("bought"), ft.mean("wait", direction="decrease", role="guardrail")]
    return ft.analyze(frame(arms=arms), arm="arm", metrics=metrics, segments=["country"], **plan)


def printed(scorecard, width: int, **how) -> str:
    out = io.StringIO()
    render_terminal(scorecard, Console(file=out, width=width, **how))
    return out.getvalue()


def test_the_view_says_whole_levels_tests_and_harm():
    shown = view(card()).segments
    (column,) = shown.columns
    bought, wait = column.blocks
    assert [one.row.treatment for one in bought.rows] == ["d<e>", "fr", "it", "li"]
    assert bought.rows[2].harm.startswith("hidden regression")
    assert bought.rows[3].row.why_unavailable.startswith("country li has")
    assert bought.differ.startswith("The effect differs between levels (Q ")
    assert wait.lower_is_better
    assert wait.axis.mirrored
    assert bought.whole.startswith("all units +")
    assert bought.rows[0].share.endswith("%")
    assert shown.several is False
    assert "Holm" in shown.basis
    assert any(one.at_once for one in bought.rows)


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_terminal_prints_every_level_within_its_width(width):
    text = printed(card(arms=3), width)
    assert all(len(line) <= width for line in text.splitlines())
    assert "By segment" in text
    assert "By country" in text
    assert "bought, green" in text
    assert "bought, blue" in text
    assert ("◂ worse" in text.partition("By segment")[2]) == (width == 140)


def test_consoles_without_unicode_lose_nothing():
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    render_terminal(card(), Console(file=out, width=100))
    out.flush()
    assert "hidden regression" in out.buffer.getvalue().decode("ascii")


def test_the_page_escapes_names_and_draws_a_track_a_level():
    page = render_html(card())
    section = page.partition('aria-label="By segment"')[2].partition("</section>")[0]
    assert section.count('class="track"') == 6, "three levels that are read, two metrics"
    assert "d&lt;e&gt;" in section
    assert "d<e>" not in page
    assert "Not available." in section
    assert "all levels at once" in section


def test_a_bayesian_plan_shows_no_p_values_by_segment():
    scorecard = card(method="bayesian")
    assert view(scorecard).segments.believed
    text = printed(scorecard, 100).partition("By segment")[2].partition("Findings")[0]
    assert "credible intervals" in " ".join(text.split())


def test_reversal_is_said_and_untrusted_data_are_not_judged():
    plain = card()
    rows = tuple(dataclasses.replace(row, reversed=True) for row in plain.segments.comparisons)
    turned = dataclasses.replace(plain, segments=dataclasses.replace(plain.segments, comparisons=rows))
    assert "Simpson's paradox" in printed(turned, 80)
    assert "Simpson" in render_html(turned)
    broken = dataclasses.replace(plain, decision=dataclasses.replace(plain.decision, state="invalid", verdict=None))
    assert {one.harm for block in view(broken).segments.columns[0].blocks for one in block.rows} == {""}
    assert "not judged" in render_html(broken)


def test_without_segments_there_is_no_section():
    scorecard = dataclasses.replace(card(), segments=None)
    assert view(scorecard).segments is None
    assert "By segment" not in printed(scorecard, 80)
    assert "By segment" not in render_html(scorecard)


def test_a_spec_with_segments_says_so_before_launch_and_its_size_says_what_it_is_not_for():
    spec = parse_spec(
        {"key": "s", "arms": ["control", "b"], "metrics": [{"key": "bought", "kind": "proportion"}], "segments": ["country", "age"],
         "plan": {"mde": 0.1, "baseline": 0.2}}
    )  # fmt: skip
    out = io.StringIO()
    render_spec(spec, Console(file=out, width=100))
    render_plan(plan_experiment(spec), spec, Console(file=out, width=100))
    told = " ".join(out.getvalue().split())
    assert "Segments read beside the whole; no verdict rests on them columns country, age" in told
    assert "segments not in the size" in told


def test_segments_go_through_json_and_back_as_they_are():
    scorecard = card()
    again = msgspec.json.decode(scorecard.to_json().encode(), type=type(scorecard))
    assert again.segments == scorecard.segments
