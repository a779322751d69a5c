"""XC-41 on a real experiment: Bertrand & Mullainathan (2004), names and quality of 4,870 resumes, two by two."""

import json

import duckdb
import pytest

from fairtrial import parse_spec
from fairtrial.analysis import analyze_spec


@pytest.fixture(scope="module")
def resumes(real_data, tmp_path_factory):
    """The callbacks as 0 and 1, beside a column of each factor; kept for this run alone."""
    source = real_data / "resume_callbacks.csv.gz"
    path = tmp_path_factory.mktemp("resumes") / "resumes.parquet"
    duckdb.sql(f"COPY (SELECT ethnicity, quality, CAST(call = 'yes' AS INTEGER) AS called FROM read_csv('{source}')) TO '{path}'")
    return path, json.loads((real_data / "expected" / "resume_callbacks.json").read_text(encoding="utf-8"))["comparisons"]


def card_of(path, **plan):
    return analyze_spec(
        parse_spec(
            {
                "key": "resumes",
                "kind": "factorial",
                "factors": {"quality": ["low", "high"], "name": ["cauc", "afam"]},
                "metrics": [{"key": "called", "kind": "proportion"}],
                "plan": {"sample_size": 4870, **plan},
                "data": {"source": str(path), "factors": {"quality": "quality", "name": "ethnicity"}},
            }
        )
    )


def test_effects_are_those_of_the_published_cells(resumes):
    """Against the reference comparisons within names (statsmodels, unpooled): effects to 1e-9, errors to 1e-3 (divisor n - 1)."""
    path, expected = resumes
    card = card_of(path)
    within = [expected[f"high vs low among {name}"] for name in ("cauc", "afam")]
    effects = {effect.factors: effect for effect in card.factorial.effects}
    quality, both = effects[("quality",)], effects["quality", "name"]
    assert quality.effect == pytest.approx((within[0]["diff"] + within[1]["diff"]) / 2, abs=1e-9)
    assert both.effect == pytest.approx(within[1]["diff"] - within[0]["diff"], abs=1e-9)
    error = (within[0]["se_unpooled"] ** 2 + within[1]["se_unpooled"] ** 2) ** 0.5
    assert (both.std_error, quality.std_error) == (pytest.approx(error, rel=1e-3), pytest.approx(error / 2, rel=1e-3))
    # the paper's headline: names cost 3.2 points of callbacks; cells are nearly alike, so the average of cells is the average of resumes
    name = effects[("name",)]
    assert name.effect == pytest.approx(-0.0320, abs=1e-3)
    assert name.p_adjusted < 0.001
    assert (quality.reading, name.reading, both.reading) == ("inconclusive", "worse", "inconclusive")
    assert card.factorial.simple_effects == ()


def test_at_a_loose_level_the_difference_of_returns_to_quality_shows_by_name(resumes):
    """The interaction (p = 0.25) taken as significant shows quality's effect for either name, as in the reference."""
    path, expected = resumes
    card = card_of(path, alpha=0.3, correction="none")
    shown = {effect.at["name"]: effect for effect in card.factorial.simple_effects if effect.factors == ("quality",)}
    for name, effect in shown.items():
        reference = expected[f"high vs low among {name}"]
        assert effect.effect == pytest.approx(reference["diff"], abs=1e-9)
        assert effect.std_error == pytest.approx(reference["se_unpooled"], rel=1e-3)
    assert set(shown) == {"cauc", "afam"}
