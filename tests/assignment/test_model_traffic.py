"""Buckets of model traffic are those of the brief."""

import pytest
from scipy import stats

from fairtrial.assignment.model_traffic import BUCKETS, bucket_ranges, md5_bucket, model_at, session_bucket, user_bucket
from fairtrial.errors import UsageError

NAME = "fraud_model_v2_test"
ALLOCATION = {"champion": 0.95, "challenger": 0.05}


@pytest.mark.parametrize(
    ("user", "bucket", "model"),
    [
        ("user_1", 6236, "champion"),
        ("user_2", 583, "champion"),
        ("user_3", 7176, "champion"),
        ("user_22", 9628, "challenger"),
        ("user_72", 9619, "challenger"),
    ],
)
def test_golden_buckets_of_users(user, bucket, model):
    """IV.b: seed 42."""
    assert user_bucket(user, NAME) == bucket
    assert model_at(bucket, bucket_ranges(ALLOCATION)) == model


def test_golden_bucket_of_a_session():
    """IV.b, ML-06: "session_<id>_<name>_<seed>"."""
    assert session_bucket("abc", NAME) == 5609
    assert session_bucket("abc", NAME) == user_bucket("session_abc", NAME, "42")


def test_ten_thousand_users_split_as_the_brief_counts():
    """IV.b, ML-34: 480 of 10,000 are challenger; 20 bins chi-square 15.58, p .685."""
    ranges = bucket_ranges(ALLOCATION)
    buckets = [user_bucket(f"user_{i}", NAME) for i in range(10_000)]
    assert sum(model_at(bucket, ranges) == "challenger" for bucket in buckets) == 480
    counts = [sum(bucket // 500 == i for bucket in buckets) for i in range(20)]
    result = stats.chisquare(counts)
    assert result.statistic == pytest.approx(15.58, abs=0.005)
    assert result.pvalue == pytest.approx(0.685, abs=5e-4)


def test_ranges_cover_every_bucket_in_declared_order():
    """ML-04, ML-07: decimals are read as written, so no user is without a model."""
    ranges = bucket_ranges({"champion": 0.9, "a": 0.05, "b": 0.05})
    assert ranges == {"champion": (0, 9000), "a": (9000, 9500), "b": (9500, 10_000)}
    assert None not in {model_at(bucket, ranges) for bucket in range(BUCKETS)}
    assert bucket_ranges({"a": 0.1, "b": 0.2, "c": 0.7})["c"] == (3000, 10_000)


def test_a_bucket_outside_every_range_has_no_model():
    assert model_at(9999, {"champion": (0, 9000)}) is None


@pytest.mark.parametrize(
    ("allocation", "rule"),
    [
        ({"champion": 0.95, "challenger": 0.04}, r"Shares must sum to 1, got 0\.99\."),
        ({"champion": 0.95005, "challenger": 0.04995}, r"multiples of 0\.0001, got 0\.95005 for 'champion'"),
    ],
)
def test_shares_off_the_grid_are_refused(allocation, rule):
    """ML-04."""
    with pytest.raises(UsageError, match=rule):
        bucket_ranges(allocation)


def test_a_key_that_is_no_text_is_refused():
    with pytest.raises(UsageError, match="must be Unicode text"):
        md5_bucket(b"user_1")
