"""The terminal: every width, no colour, no UTF-8, a pipe."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console
from samples import SAMPLES, advertising, hostile_names, invalid_srm, three_arms

from fairtrial.reports import render_terminal, view
from fairtrial.reports.formatting import DASH
from fairtrial.reports.text_plot import ASCII, UNICODE, ascii_text, tick_line, track
from fairtrial.reports.view_models import AxisView, MarkView, TickView


def printed(scorecard, width: int = 80) -> str:
    file = io.StringIO()
    render_terminal(scorecard, Console(file=file, width=width, color_system=None))
    return file.getvalue()


def squeezed(text: str) -> str:
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("name", SAMPLES)
def test_no_line_is_wider_than_the_console(name: str, width: int):
    text = printed(SAMPLES[name](), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "hostile_names"])
def test_every_number_of_the_view_is_printed(name: str, width: int):
    scorecard = SAMPLES[name]()
    text = printed(scorecard, width)
    for group in view(scorecard).groups:
        for metric in group.metrics:
            for row in metric.rows:
                for number in (row.change, row.interval, row.p_final, row.control_value, row.treatment_value, row.lift):
                    if row.why_unavailable or number == row.lift == DASH:
                        continue
                    assert number in squeezed(text)


def test_the_order_is_verdict_plan_arms_metrics_findings_next_steps():
    text = printed(three_arms(), 120)
    marks = ["NO LAUNCH", "Plan and data", "Arms", "Primary metric", "Guardrails", "Secondary metrics", "Findings", "Next steps"]
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)


def test_reasons_stand_in_their_order():
    text = squeezed(printed(advertising()))
    places = [text.index(reason) for reason in view(advertising()).verdict.reasons]
    assert places == sorted(places)


def test_meaning_needs_no_colour():
    """Better, worse and inconclusive differ in word and in shape."""
    text = printed(three_arms(), 120)
    assert "better: no_email" in text
    assert "worse: no_email" in text
    assert "inconclusive: no_email" in text
    assert {"●", "◆", "○"} <= set(text)


def test_untrusted_numbers_carry_their_warning():
    text = squeezed(printed(invalid_srm()))
    assert "The data failed a check: the numbers below are shown for diagnosis only." in text
    assert "better: control" not in text


def test_markup_in_names_is_printed_and_not_obeyed():
    text = printed(hostile_names(), 120)
    assert "[bold red]not markup[/]" in text
    assert "<script>alert(1)</script>" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_console_without_utf8_gets_ascii():
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    render_terminal(hostile_names(), Console(file=file, width=80, color_system=None))
    render_terminal(three_arms(), Console(file=file, width=80, color_system=None))
    file.flush()
    text = raw.getvalue().decode("ascii")
    assert "-0.22 pp" in text
    assert "\\u8f6c" in text


AXIS = AxisView(
    ticks=(
        TickView(at=0.2, label="0", major=True),
        TickView(at=0.5, label="+10%", major=False),
        TickView(at=0.55, label="+12%", major=True),
    ),
    zero=0.2,
    mirrored=False,
    title="",
)


def test_a_track_shows_ends_point_margin_and_zero():
    mark = MarkView(point=0.6, low=0.4, high=0.8, margin=0.1)
    assert track(mark, AXIS, "better", 20, UNICODE) == "  ┊ │   ├───●───┤   "
    assert track(mark, AXIS, "worse", 20, ASCII) == "  : |   [---#---]   "
    assert track(None, AXIS, "better", 10, UNICODE) == "  │       "


def test_a_track_that_runs_off_has_arrows_and_crosses_zero():
    mark = MarkView(point=1.0, low=0.0, high=1.0, open_low=True, open_high=True, point_off=True)
    assert track(mark, AXIS, "inconclusive", 10, UNICODE) == "◂─┼──────▸"


def test_tick_labels_never_touch():
    assert tick_line(AXIS, 20) == "    0   +10%        "
    assert all("+10%+12%" not in tick_line(AXIS, width) for width in range(8, 120))


def test_ascii_text_drops_nothing():
    assert ascii_text("−3 × 10⁻¹² ≥ 转") == "-3 x 10^-12 \\u2265 \\u8f6c"  # noqa: RUF001
