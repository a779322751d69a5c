"""Effects by many features (AD-09): the forest finds what differs, and says so only as often as it may. Needs econml."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fairtrial.analysis import ForestOptions, conditional_effects, mean, proportion
from fairtrial.errors import DataError, NotEnoughDataError, UsageError

pytestmark = pytest.mark.cate
FEW = ForestOptions(trees=100)


def shop(n=6_000, seed=1, differ=True, **more):
    """Young customers gain 0.6, old ones lose 0.3; country says nothing."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(18, 78, n)
    country = rng.choice(["dé", "fr", None], n, p=[0.5, 0.4, 0.1])
    treated = rng.random(n) < 0.5
    effect = np.where(age < 48, 0.6, -0.3) if differ else 0.15
    return pd.DataFrame(
        {
            "user": np.arange(n),
            "arm": np.where(treated, "treatment", "control"),
            "age": np.where(rng.random(n) < 0.05, np.nan, age),
            "country": country,
            "premium": rng.random(n) < 0.3,
            "spend": rng.normal(5.0, 1.0, n) + 0.02 * age + effect * treated,
            "bought": (rng.random(n) < 0.2 + 0.1 * treated).astype(int),
        }
        | more
    )


def test_effects_that_differ_are_found_with_who_is_hurt():
    pytest.importorskip("econml")
    frame = shop()
    found = conditional_effects(
        frame, arm="arm", metric=mean("spend"), features=["age", "country", "premium"], unit="user", options=ForestOptions(trees=200)
    )
    assert found.differs
    assert found.hurt
    assert "hypothesis" in found.says
    assert "worse off" in found.says
    assert not found.calibration.average.interval.excludes(0.15)
    assert not found.groups[0].effect.interval.excludes(-0.3)
    assert not found.groups[-1].effect.interval.excludes(0.6)
    assert sum(group.n for group in found.groups) == found.n == len(frame)
    by_name = {one.feature: one for one in found.profiles}
    assert by_name["age"].lowest > 55
    assert by_name["age"].highest < 40
    assert set(by_name) == {"age", "age is missing", "country = dé", "country = fr", "country = (missing)", "premium"}
    known = frame["age"].notna().to_numpy()
    truth = np.where(frame["age"] < 48, 0.6, -0.3)
    assert np.corrcoef(found.expected[known], truth[known])[0, 1] > 0.8


def test_equal_seeds_give_equal_results_and_the_order_of_columns_of_data_does_not_matter(tmp_path):
    pytest.importorskip("econml")
    frame = shop(n=2_000)
    options = {"arm": "arm", "metric": mean("spend"), "features": ["age", "premium"], "options": FEW}
    first = conditional_effects(frame, **options)
    again = conditional_effects(frame[frame.columns[::-1]], **options)
    frame.to_parquet(tmp_path / "shop.parquet")
    stored = conditional_effects(tmp_path / "shop.parquet", **options)
    assert first.calibration == again.calibration == stored.calibration
    assert np.array_equal(first.expected, stored.expected)
    assert conditional_effects(frame, **options | {"options": ForestOptions(trees=100, seed=2)}).calibration != first.calibration


def test_a_third_arm_is_left_out_and_keeps_its_rows():
    pytest.importorskip("econml")
    frame = shop(n=4_500)
    frame.loc[::3, "arm"] = "other"
    found = conditional_effects(
        frame, arm="arm", metric=proportion("bought"), features=["age"], pair=("control", "treatment"), options=FEW,
        shares={"control": 1 / 3, "treatment": 1 / 3, "other": 1 / 3},
    )  # fmt: skip
    assert found.n == 3_000
    assert np.isnan(found.expected[::3]).all()
    assert np.isfinite(found.expected[1::3]).all()


@pytest.mark.slow
def test_the_forest_says_that_effects_differ_no_more_often_than_it_may():
    """80 experiments without any difference: at 5%, an exact binomial bound; and 8 with one: always found."""
    pytest.importorskip("econml")
    options = {"arm": "arm", "metric": mean("spend"), "features": ["age", "country", "premium"], "options": FEW}
    alarms = sum(conditional_effects(shop(n=1_200, seed=seed, differ=False), **options).differs for seed in range(80))
    print(f"{alarms} of 80 say that effects differ where they do not")
    assert stats.binomtest(alarms, 80, 0.05, alternative="greater").pvalue > 0.001, alarms
    assert all(conditional_effects(shop(n=3_000, seed=seed), **options).differs for seed in range(8))


def call(frame, **changes):
    return conditional_effects(frame, **({"arm": "arm", "metric": mean("spend"), "features": ["age"], "options": FEW} | changes))


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"features": []}, UsageError, "at least one feature"),
        ({"features": ["agee"]}, UsageError, "agee"),
        ({"pair": ("control", "control")}, UsageError, "pair"),
        ({"metric": {"kind": "ratio"}}, UsageError, "ratio"),
        ({"metric": mean("spend", winsorize=0.99)}, UsageError, "winsorize"),
        ({"metric": mean("country")}, DataError, "number for every unit"),
        ({"pair": ("control", "b")}, UsageError, "pair"),
        ({"shares": {"control": 1.0}}, UsageError, "treatment"),
        ({"features": ["spend_text"]}, UsageError, "levels"),
        ({"features": ["flat"]}, DataError, "No feature varies"),
        ({"unit": "same"}, DataError, "more than once"),
    ],
)
def test_what_breaks_a_rule_is_refused(change, error, said):
    pytest.importorskip("econml")
    frame = shop(n=1_200)
    frame["flat"], frame["same"] = 1.0, 7
    frame["spend_text"] = frame["spend"].astype(str)
    with pytest.raises(error, match=said):
        call(frame, **change)


def test_options_are_checked():
    for wrong in ({"trees": 10}, {"trees": 102}, {"alpha": 0.0}):
        with pytest.raises(UsageError, match=r"trees|alpha"):
            ForestOptions(**wrong)


def test_too_few_units_and_missing_outcomes_are_refused():
    pytest.importorskip("econml")
    with pytest.raises(NotEnoughDataError, match="smaller arm"):
        call(shop(n=800))
    holes = shop(n=1_200)
    holes.loc[3, "spend"] = np.nan
    with pytest.raises(DataError, match="every unit"):
        call(holes)
