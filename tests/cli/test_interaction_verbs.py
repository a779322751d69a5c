"""`fairtrial interaction` and `fairtrial scan-interactions` as commands: text, JSON, exit codes (IN-21, IN-22)."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Three experiments on the same users; the first two spoil each other. Ids are not ASCII."""
    folder = tmp_path_factory.mktemp("shop")
    rng = np.random.default_rng(3)
    arms = {}
    for name, share in (("checkout", 0.7), ("search", 0.6), ("banner", 0.3)):
        arm = np.where(rng.random(20_000) < 0.5, "control", "treatment")
        arms[name] = np.where(rng.random(20_000) < share, arm, "")
    both = (arms["checkout"] == "treatment") & (arms["search"] == "treatment")
    chance = 0.10 + 0.03 * (arms["checkout"] == "treatment") + 0.02 * (arms["search"] == "treatment") - 0.08 * both
    bought = (rng.random(20_000) < chance).astype(int)
    for name, arm in arms.items():
        frame = pd.DataFrame({"user": [f"użytkownik_{n}" for n in range(20_000)], "arm": arm, "bought": bought})
        frame[arm != ""].to_parquet(folder / f"{name}.parquet")
        status = "status: completed\n" if name == "banner" else ""
        (folder / f"{name}.yaml").write_text(
            f"key: {name}\n{status}arms: [control, treatment]\nmetrics: [{{key: bought, kind: proportion}}]\n"
            f"data: {{source: {name}.parquet, unit: user}}\n",
            encoding="utf-8",
        )
    return folder


def test_a_pair_as_text_and_as_data(shop, run):
    code, text, _ = run("interaction", shop / "checkout.yaml", shop / "search.yaml")
    assert code == 1, "high risk is a no"
    assert "These effects differ" in text
    assert "Interaction detected: consider pausing one experiment." in text
    code, text, talk = run("interaction", shop / "checkout.yaml", shop / "search.yaml", "--json")
    found = json.loads(text)
    assert (code, talk) == (1, "")
    assert found["interaction_result"]["has_interaction"] is True
    assert found["overall_risk"] == "high"
    assert len(found["tests"]) == 2
    assert [(one["experiment_id"], one["arm"]) for one in found["verdicts_by_arm"]] == [
        ("checkout", "control"), ("checkout", "treatment"), ("search", "control"), ("search", "treatment"),
    ]  # fmt: skip
    assert {"arm", "n_control", "conversions_treatment", "effect", "relative_lift"} <= found["tests"][0]["arms"][0].keys()
    code, text, _ = run("interaction", shop / "checkout.yaml", shop / "banner.yaml")
    assert code == 0
    assert "Nothing shows that these effects differ" in text
    assert "would have been found with 80% power" in text


def test_a_scan_takes_those_that_run_or_all(shop, run):
    code, text, _ = run("scan-interactions", shop, "--json")
    found = json.loads(text)
    assert (code, found["experiments"], found["pairs_analyzed"], found["high_risk_pairs"]) == (1, ["checkout", "search"], 1, 1)
    code, text, _ = run("scan-interactions", shop, "--all", "--json")
    found = json.loads(text)
    assert found["pairs_analyzed"] == 3
    assert found["high_risk_pairs"] == 1
    code, text, _ = run("scan-interactions", shop, "--all")
    assert code == 1
    assert "1 of 3 pairs are of high risk." in text
    assert text.index("checkout / search") < text.index("banner / "), "the riskiest first"


def test_a_sample_is_said_with_its_error(shop, run):
    found = json.loads(run("scan-interactions", shop, "--all", "--method", "sample", "--json")[1])
    assert (found["method"], found["sampling_rate"]) == ("sample", 1 / 32)
    exact = json.loads(run("scan-interactions", shop, "--all", "--json")[1])
    assert exact["shared_users_std_error"] == 0.0
    for one, other in zip(found["results"], exact["results"], strict=True):
        assert abs(one["shared_users"] - other["shared_users"]) < 4 * found["shared_users_std_error"]
    _, text, _ = run("scan-interactions", shop, "--all", "--method", "sample")
    assert "from one unit in 32: shared users are estimates" in " ".join(text.split())


def test_floors_make_it_untested_and_no_high_risk(shop, run):
    code, text, _ = run("interaction", shop / "checkout.yaml", shop / "search.yaml", "--min-users", 100_000)
    assert code == 0
    assert "Not tested: too few shared users in a cell." in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["interaction", "{shop}/checkout.yaml", "{shop}/checkout.yaml"], "two different experiments"),
        (["interaction", "{shop}/checkout.yaml", "{shop}/nothing.yaml"], "nothing.yaml"),
        (["interaction", "{shop}/checkout.yaml", "{shop}/search.yaml", "--alpha", "5"], "alpha"),
        (["scan-interactions", "{shop}/checkout.yaml"], "needs two experiments"),
        (["scan-interactions", "{shop}", "{shop}"], "named once"),
        (["scan-interactions", "{shop}", "--method", "guess"], "exact or sample"),
    ],
)
def test_wrong_calls_are_refused_in_words(shop, run, arguments, says):
    code, text, talk = run(*(argument.format(shop=shop) for argument in arguments))
    assert code == 2
    assert text == ""
    assert says.lower() in " ".join(talk.split()).lower()
