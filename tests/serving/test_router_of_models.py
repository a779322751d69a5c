"""Who gets which model."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.assignment.model_traffic import BUCKETS, ModelTraffic
from fairtrial.errors import UsageError
from fairtrial.serving import RoutingDecision, TrafficRouter
from fairtrial.spec import ExperimentConfig
from fairtrial.spec.examples import FRAUD_DETECTION_EXPERIMENT

CHAMPION, CHALLENGER = "fraud_detector_v1.3", "fraud_detector_v2.0"


@pytest.fixture
def router():
    return TrafficRouter(FRAUD_DETECTION_EXPERIMENT)


def three(champion, a, b):
    return ExperimentConfig("trio", "champion", ["a", "b"], {"champion": champion, "a": a, "b": b}, "clicked", [], {}, 100, 14)


def test_ranges_are_cumulative_in_declared_order(router):
    """ML-04."""
    assert router.buckets == {CHAMPION: (0.0, 0.95), CHALLENGER: (0.95, 1.0)}
    assert TrafficRouter(three(0.9, 0.05, 0.05)).buckets == {"champion": (0.0, 0.9), "a": (0.9, 0.95), "b": (0.95, 1.0)}


@pytest.mark.parametrize(
    ("user", "model"), [("user_1", CHAMPION), ("user_2", CHAMPION), ("user_3", CHAMPION), ("user_22", CHALLENGER), ("user_72", CHALLENGER)]
)
def test_users_go_where_the_hash_says(router, user, model):
    """ML-05, IV.b golden."""
    variant = "champion" if model == CHAMPION else "challenger"
    assert router.assign_variant(user) == RoutingDecision(model, variant, f"{user}_fraud_model_v2_test")
    assert router.assign_variant(user) == TrafficRouter(FRAUD_DETECTION_EXPERIMENT, seed=42).assign_variant(user)


def test_a_session_stays_with_its_model(router):
    """ML-06: golden .5609."""
    assert router.bucket_of_session("abc") == 5609
    first = router.assign_random_variant("abc")
    assert first == RoutingDecision(CHAMPION, "champion", "session_abc")
    assert all(router.assign_random_variant("abc") == first for _ in range(10))


def test_ten_thousand_users_split_as_declared(router):
    """ML-34: 480 of user_0..user_9999 are challenger, which is 5 % by a chi-square test; so are the first 1,000 requests."""
    counts = [sum(router.assign_variant(f"user_{i}").variant == "challenger" for i in range(n)) for n in (1_000, 10_000)]
    assert counts[1] == 480
    for n, count in zip((1_000, 10_000), counts, strict=True):
        assert stats.chisquare([n - count, count], [0.95 * n, 0.05 * n]).pvalue > 0.001


def test_no_user_is_without_a_model(router, caplog):
    """ML-07: with a valid allocation it cannot happen; where it does the champion answers and an error is logged."""
    assert None not in {router.traffic.model_of(bucket) for bucket in range(BUCKETS)}
    router.use(ModelTraffic(champion=CHAMPION, models=router.traffic.models, ranges=()))
    with caplog.at_level(logging.ERROR, "fairtrial.serving"):
        assert router.assign_variant("user_22").model_name == CHAMPION
    assert "no range holds bucket 9628" in caplog.text


@pytest.mark.parametrize("user", ["", None, 7, b"user_1"])
def test_a_user_without_an_id_is_refused(router, user):
    with pytest.raises(UsageError, match="user_id must be a text that is not empty"):
        router.assign_variant(user)


@pytest.mark.parametrize("user", ["użytkownik", "用户_1", "user with spaces", "x" * 5000, "💳"])
def test_any_text_is_an_id(router, user):
    assert router.assign_variant(user) == router.assign_variant(user)


def test_a_kept_assignment_wins_over_the_hash():
    """IV.b: stored assignments win."""
    kept = {"user_22_fraud_model_v2_test": CHAMPION}
    router = TrafficRouter(FRAUD_DETECTION_EXPERIMENT, assignments=kept)
    assert router.assign_variant("user_22").model_name == CHAMPION
    assert router.assign_variant("user_72").model_name == CHALLENGER
    assert kept["user_72_fraud_model_v2_test"] == CHALLENGER
    router.reallocate({CHAMPION: 1.0, CHALLENGER: 0.0})
    assert router.assign_variant("user_72").model_name == CHALLENGER


def test_re_ordered_ranges_move_no_user_between_challengers():
    """IV.c: .90/.05/.05 -> .80/.10/.10 takes from the champion alone."""
    router = TrafficRouter(three(0.9, 0.05, 0.05))
    before = {bucket: router.traffic.model_of(bucket) for bucket in range(BUCKETS)}
    router.reallocate({"champion": 0.8, "a": 0.1, "b": 0.1})
    moved = {
        (before[bucket], router.traffic.model_of(bucket)) for bucket in range(BUCKETS) if before[bucket] != router.traffic.model_of(bucket)
    }
    assert moved == {("champion", "a"), ("champion", "b")}
    assert router.traffic.shares == {"champion": 0.8, "a": 0.1, "b": 0.1}


@st.composite
def shares_of_three(draw):
    a, b = draw(st.integers(0, 2500)), draw(st.integers(0, 2500))
    return {"champion": (BUCKETS - a - b) / BUCKETS, "a": a / BUCKETS, "b": b / BUCKETS}


@given(st.lists(shares_of_three(), min_size=2, max_size=6))
@settings(deadline=None, max_examples=60)
def test_a_change_of_shares_only_moves_buckets_between_the_champion_and_one_challenger(steps):
    """IV.b: raising takes from the champion only, lowering gives back to it, nobody else moves."""
    traffic = ModelTraffic.laid_out("champion", steps[0])
    for shares in steps[1:]:
        after = traffic.reallocated(shares)
        assert after.shares == pytest.approx(shares, abs=1e-12)
        moved = {"a": 0, "b": 0}
        for bucket in range(BUCKETS):
            old, new = traffic.model_of(bucket), after.model_of(bucket)
            if old != new:
                assert "champion" in {old, new}
                moved[old if new == "champion" else new] += 1
        for model in ("a", "b"):
            assert moved[model] == abs(round(BUCKETS * (after.shares[model] - traffic.shares[model])))
        traffic = after


def test_challengers_may_have_it_all():
    """The champion's own buckets go first, then what the other gave up."""
    traffic = ModelTraffic.laid_out("champion", {"champion": 0.1, "a": 0.9, "b": 0.0})
    after = traffic.reallocated({"champion": 0.0, "a": 0.2, "b": 0.8})
    assert after.shares == {"champion": 0.0, "a": 0.2, "b": 0.8}
    assert after.reallocated({"champion": 1.0, "a": 0.0, "b": 0.0}).ranges[0].width == BUCKETS


def test_a_shut_router_sends_all_to_the_champion(router):
    router.shut = True
    assert {router.assign_variant(f"user_{i}").model_name for i in range(2000)} == {CHAMPION}
    assert router.propensity(CHAMPION) == 1.0
    assert router.propensity(CHALLENGER) == 0.0


def test_an_allocation_names_every_model(router):
    with pytest.raises(UsageError, match="names every model and no other"):
        router.reallocate({CHAMPION: 1.0})
