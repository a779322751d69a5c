"""A challenger in the shadow never delays, never answers, and is compared."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.errors import UsageError
from fairtrial.serving import ShadowDeployment, ShadowTally, compare_predictions, read_log
from fairtrial.serving.shadow import ShadowOptions


def shadow(tmp_path, challenger, champion=lambda _: 0.2, *, threshold=0.1, workers=2, **given):
    options = ShadowOptions(log_folder=tmp_path, champion_name="v1", challenger_name="v2", threshold=threshold, workers=workers)
    return ShadowDeployment(champion, challenger, name="fraud", options=options, **given)


def test_the_champions_answer_is_the_answer(tmp_path):
    """ML-09, ML-10: both run, the champion's result comes back, the pair is logged."""
    with shadow(tmp_path, lambda _: 0.5) as pair:
        answer = pair.predict({"amount": 120.0})
        assert pair.drain()
    assert (answer["prediction"], answer["model"]) == (0.2, "v1")
    assert answer["latency_ms"] >= 0
    (row,) = read_log(tmp_path / "shadow").rows
    assert (row["champion_prediction"], row["challenger_prediction"], row["prediction_difference"]) == (0.2, 0.5, pytest.approx(0.3))
    assert row["challenger_latency_ms"] >= 0
    assert row["champion_latency_ms"] >= 0
    assert row["features"].keys() == {"amount"}
    assert row["features"]["amount"] != 120.0


def test_a_difference_beyond_the_threshold_is_warned_of(tmp_path, caplog):
    """ML-10: above 0.1, not at it."""
    with shadow(tmp_path, lambda features: 0.2 + features["by"]) as pair:
        pair.predict({"by": 0.09})
        pair.predict({"by": 0.11})
        pair.drain()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert pair.summary()["divergence_rate"] == 0.5


def test_a_challengers_failure_reaches_nobody(tmp_path):
    """ML-09."""

    def broken(features):
        raise ValueError("no")

    with shadow(tmp_path, broken) as pair:
        assert [pair.predict({})["prediction"] for _ in range(20)] == [0.2] * 20
        pair.drain()
        found = pair.summary()
    assert (found["requests"], found["compared"], found["challenger_errors"]) == (20, 0, 20)
    assert found["divergence_rate"] is None


def test_a_champions_failure_is_the_callers(tmp_path):
    def broken(features):
        raise ValueError("no champion")

    with shadow(tmp_path, abs, broken) as pair, pytest.raises(ValueError, match="no champion"):
        pair.predict({})


def test_a_challenger_that_hangs_delays_nobody_and_is_counted(tmp_path):
    """IV.b: bounded queue, drop and count when full; a late answer is a timeout."""
    leave = threading.Event()
    with shadow(tmp_path, lambda _: leave.wait(20), workers=1, queue_size=5, timeout_seconds=0.2) as pair:
        started = time.perf_counter()
        for _ in range(50):
            pair.predict({})
        assert time.perf_counter() - started < 1.0
        assert pair.drain(timeout_seconds=5)
        found = pair.summary()
        leave.set()
    assert found["requests"] == 50
    assert found["dropped"] >= 44
    assert found["dropped"] + found["challenger_timeouts"] == 50
    assert found["gate"] == "inconclusive"
    rows = read_log(tmp_path / "shadow").rows
    assert len(rows) == 50
    assert sum(row["dropped"] for row in rows) == found["dropped"]


def test_a_share_of_the_requests_is_mirrored(tmp_path):
    with shadow(tmp_path, lambda _: 0.2, sample_rate=0.1) as pair:
        for _ in range(2_000):
            pair.predict({})
        pair.drain()
        assert 120 <= pair.summary()["requests"] <= 290


@pytest.mark.parametrize(
    "options", [{"sample_rate": 0.0}, {"sample_rate": 1.5}, {"timeout_seconds": 6}, {"timeout_seconds": 0}, {"queue_size": 0}]
)
def test_options_outside_their_range_are_refused(tmp_path, options):
    with pytest.raises(UsageError, match="must"):
        shadow(tmp_path, abs, **options)


def test_thirty_two_of_a_thousand_diverge_as_the_brief_counts():
    """Part IV's example of GET /shadow; ML-33's gate of 5 %."""
    tally = ShadowTally()
    for i in range(1000):
        tally.add(compare_predictions(0.2, 0.6 if i < 32 else 0.25), champion_latency_ms=5.0, challenger_latency_ms=6.0 + i % 3)
    found = tally.summary()
    expected = {"requests": 1000, "compared": 1000, "challenger_errors": 0, "challenger_timeouts": 0, "dropped": 0, "limit": 0.05}
    assert {name: found[name] for name in expected} == expected
    assert found["divergence_rate"] == 0.032
    assert (found["ci_low"], found["ci_high"]) == (pytest.approx(0.022757, abs=5e-7), pytest.approx(0.044825, abs=5e-7))
    assert found["status"] == "ok"
    assert found["label_flip_rate"] == 0.032
    assert found["always_valid"]["low"] < found["ci_low"] < found["ci_high"] < found["always_valid"]["high"]
    assert found["gate"] == "inconclusive"
    assert found["latency"]["mean_difference_ms"] == pytest.approx(2.0, abs=0.01)
    assert found["latency"]["low"] < 2.0 < found["latency"]["high"]


@pytest.mark.parametrize(("diverged", "status"), [(0, "ok"), (32, "ok"), (45, "inconclusive"), (100, "diverging")])
def test_the_status_reads_the_interval_against_the_limit(diverged, status):
    tally = ShadowTally(requests=1000, compared=1000, diverged=diverged)
    assert tally.summary()["status"] == status


def test_a_challenger_that_fails_does_not_pass_the_gate():
    """No answer is no agreement."""
    assert ShadowTally(requests=1000, compared=1000).summary()["gate"] == "ok"
    assert ShadowTally(requests=2000, compared=1000, errors=1000).summary()["gate"] == "diverging"
    assert ShadowTally(requests=2000, compared=1000, dropped=1000).summary()["gate"] == "ok"


@given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 100)), min_size=2, max_size=40), st.integers(1, 39))
@settings(deadline=None)
def test_tallies_add(seen, at):
    def of(rows):
        tally = ShadowTally()
        for apart, slower in rows:
            tally.add(compare_predictions(0.0, float(apart)), champion_latency_ms=1.0, challenger_latency_ms=1.0 + slower)
        return tally

    both, whole = of(seen[:at]) + of(seen[at:]), of(seen)
    assert (both.requests, both.diverged) == (whole.requests, whole.diverged)
    assert both.slower_mean == pytest.approx(np.mean([slower for _, slower in seen]))
    assert both.slower_m2 == pytest.approx(whole.slower_m2, abs=1e-6)


@pytest.mark.parametrize(
    ("champion", "challenger", "difference", "diverged", "flipped"),
    [
        (0.2, 0.3, pytest.approx(0.1), False, False),
        (0.45, 0.5, pytest.approx(0.05), False, True),
        ([0.1, 0.9], [0.3, 0.7], pytest.approx(0.2), True, False),
        ([0.4, 0.35, 0.25], [0.35, 0.4, 0.25], pytest.approx(0.05), False, True),
        (np.array([[0.1], [0.2]]), [[0.1], [0.25]], pytest.approx(0.05), False, False),
        ("fraud", "fraud", 0.0, False, False),
        ("fraud", "fine", 1.0, True, True),
        (True, False, 1.0, True, True),
        ("fraud", 0.7, None, True, None),
        ([0.1], [0.1, 0.2], None, True, None),
        (float("nan"), 0.1, None, True, None),
        (None, 0.1, None, True, None),
        ([], [], None, True, None),
    ],
)
def test_predictions_of_any_kind_are_compared(champion, challenger, difference, diverged, flipped):
    """IV.b: works on arrays, difference = max |dp|; what cannot be compared has diverged."""
    found = compare_predictions(champion, challenger)
    assert (found.difference, found.diverged, found.flipped) == (difference, diverged, flipped)
