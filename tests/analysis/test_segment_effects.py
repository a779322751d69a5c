"""segment_effects(): the golden levels of REQUIREMENTS III.b from rows, and the view of who is hurt (AD-09)."""

import numpy as np
import pandas as pd
import pytest

import fairtrial
from fairtrial.analysis import segment_effects
from fairtrial.errors import DataError, SpecError, UsageError

HALF = 5_000
LEVELS = ("low", "medium", "high")


def with_effects(effects, errors, sign=1.0):
    """Rows whose level differences have exactly these values and (Welch) standard errors."""
    rows = []
    for level, effect, error in zip(LEVELS, effects, errors, strict=True):
        spread = error * np.sqrt(HALF - 0.5)  # variance of each arm, n - 1 below: spread^2 2 HALF / (2 HALF - 1)
        for arm, shift in (("control", 0.0), ("treatment", effect)):
            value = 1.0 + sign * (shift + spread * np.repeat([-1.0, 1.0], HALF))
            rows.append(pd.DataFrame({"arm": arm, "engagement": level, "value": value}))
    return pd.concat(rows, ignore_index=True).assign(user=lambda frame: np.arange(len(frame)))


@pytest.mark.parametrize(("direction", "sign"), [("increase", 1.0), ("decrease", -1.0)])
def test_the_golden_levels_and_the_regression_that_the_average_hides(direction, sign):
    frame = with_effects((0.030, 0.020, -0.015), (0.008, 0.007, 0.006), sign)
    found = segment_effects(frame, arm="arm", unit="user", by="engagement", metrics=[fairtrial.mean("value", direction=direction)])
    (row,) = found.segments.comparisons
    assert (sign * row.differ.pooled, row.differ.q) == (pytest.approx(0.007213, abs=1e-6), pytest.approx(25.1562, abs=1e-3))
    assert row.differ.p_value == pytest.approx(3.447e-6, rel=1e-3)
    by_level = {level.level: level for level in row.levels}
    adjusted = [by_level[name].estimate.p_adjusted for name in LEVELS]
    assert adjusted == pytest.approx([0.000530, 0.008549, 0.012419], rel=5e-3)  # Student's t on 19,998 df for the normal
    ends = [sorted((sign * by_level[name].simultaneous.low, sign * by_level[name].simultaneous.high)) for name in LEVELS]
    assert np.array(ends) == pytest.approx(np.array([[0.0108, 0.0492], [0.0032, 0.0368], [-0.0294, -0.0006]]), abs=6e-5)
    (hurt,) = found.hurt
    assert (hurt.column, hurt.level, hurt.metric, hurt.treatment, hurt.harm) == (
        "engagement",
        "high",
        "value",
        "treatment",
        "hidden_regression",
    )
    assert (sign * hurt.effect, hurt.n, hurt.share) == (pytest.approx(-0.015), 4 * HALF, pytest.approx(1 / 3))
    assert {"hidden_regression", "segments_differ"} <= {finding.code for finding in found.findings}
    assert found.scorecard.segments is found.segments


def test_an_estimate_alone_makes_harm_suspected_and_equal_effects_hurt_nobody():
    doubtful = with_effects((0.030, 0.020, -0.001), (0.008, 0.007, 0.006))
    (hurt,) = segment_effects(doubtful, arm="arm", by="engagement", metrics=[fairtrial.mean("value")]).hurt
    assert (hurt.level, hurt.harm) == ("high", "suspected")
    alike = with_effects((0.02, 0.02, 0.02), (0.008, 0.007, 0.006))
    found = segment_effects(alike, arm="arm", by=["engagement"], metrics=[fairtrial.mean("value")], alpha=0.01)
    assert found.hurt == ()
    assert found.segments.alpha == 0.01


def test_what_cannot_be_read_is_refused_or_said():
    frame = with_effects((0.03, 0.02, 0.01), (0.008, 0.007, 0.006))
    value = [fairtrial.mean("value")]
    with pytest.raises(UsageError, match="at least"):
        segment_effects(frame, arm="arm", by=[], metrics=value)
    with pytest.raises(SpecError, match="arm"):
        segment_effects(frame, arm="arm", by="arm", metrics=value)
    with pytest.raises((DataError, UsageError), match="nowhere"):
        segment_effects(frame, arm="arm", by="nowhere", metrics=value)
    thin = segment_effects(frame, arm="arm", by={"columns": ["engagement"], "min_units": 50_000}, metrics=value)
    assert {level.unavailable.code for level in thin.segments.comparisons[0].levels} == {"thin_segment"}
    assert (thin.hurt, thin.segments.comparisons[0].differ) == ((), None)
    assert "thin_segments" in {finding.code for finding in thin.findings}
