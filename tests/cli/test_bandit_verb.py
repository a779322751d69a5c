"""`fairtrial bandit` as a command (XC-40, AD-18): a rehearsal, its log read back, the stop rule's exit code, bad input."""

from __future__ import annotations

import json

import pandas as pd
import pytest

SPEC = """
kind: bandit
key: banner
arms: [control, modrá, green]
fixed_share: 0.2
stop: {probability: 0.95}
"""


@pytest.fixture
def spec(tmp_path):
    file = tmp_path / "banner.yaml"
    file.write_text(SPEC, encoding="utf-8")
    return file


def rehearse(run, spec, means, *more):
    return run("bandit", spec, "--means", means, "--periods", "4", "--decisions", "500", "--seed", "3", *more)


@pytest.mark.parametrize("ending", ["csv", "parquet", "ndjson"])
def test_a_log_read_back_says_what_the_rehearsal_said(run, spec, tmp_path, ending):
    """AD-18: propensities, periods and the slice are in the log, and every figure comes from it."""
    log = tmp_path / "log.csv"
    code, told, talk = rehearse(run, spec, "control=0.1,modrá=0.3,green=0.1", "--write", log, "--json")
    assert code == 0
    assert "Regret" in talk
    if ending != "csv":
        frame = pd.read_csv(log)
        log = tmp_path / f"log.{ending}"
        frame.to_parquet(log) if ending == "parquet" else frame.to_json(log, orient="records", lines=True, force_ascii=False)
    code, again, _ = run("bandit", spec, "--log", log, "--json")
    assert code == 0
    first, second = json.loads(told), json.loads(again)
    assert first == second if ending == "csv" else first["n"] == second["n"]
    assert second["best_arm"]["arm"] == "modrá"
    assert second["best_arm"]["stop"] is True
    by_arm = {one["arm"]: one for one in second["contrasts"]}
    for name in ("adaptive", "over_time", "fixed"):
        interval = by_arm["modrá"][name]["interval"]
        assert interval["low"] < by_arm["modrá"][name]["difference"] < interval["high"]


def test_a_stop_rule_that_is_not_met_is_exit_1(run, spec):
    code, told, _ = rehearse(run, spec, "control=0.2,modrá=0.2,green=0.2")
    assert code == 1
    assert "The stop rule is not met." in " ".join(told.split()), "lines break where the terminal ends"


def test_rehearsals_repeat_by_their_seed(run, spec):
    first, second = (rehearse(run, spec, "control=0.1,modrá=0.2,green=0.1", "--json") for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "give one of the two"),
        (("--means", "control=0.1", "--log", "x.csv"), "give one of the two"),
        (("--means", "control=0.1,green=0.1"), "modrá"),
        (("--means", "control=0.1,modrá=0.1,green=0.1,red=0.1"), "red"),
        (("--means", "control=0.1,modrá=lots,green=0.1"), "'modrá=lots'"),
        (("--means", "control=0.1,modrá=1.2,green=0.1"), "[0, 1]"),
        (("--means", "control=0.1,modrá=0.1,green=0.1", "--periods", "100000", "--decisions", "100000"), "20,000,000"),
        (("--log", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_bad_options_are_one_sentence(run, spec, options, said):
    code, told, talk = run("bandit", spec, *options)
    assert (code, told) == (2, ""), talk
    assert said in talk
    assert "Traceback" not in talk


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("propensity_green", "chance_green"), "propensity_green"),
        (("\n1,u0,", "\n1,u0,red"), "red"),
        (("reward", "earned"), "reward"),
    ],
)
def test_a_log_that_breaks_a_rule_is_refused(run, spec, tmp_path, change, said):
    log = tmp_path / "log.csv"
    rehearse(run, spec, "control=0.1,modrá=0.2,green=0.1", "--write", log)
    log.write_text(log.read_text(encoding="utf-8").replace(*change, 1), encoding="utf-8")
    code, told, talk = run("bandit", spec, "--log", log)
    assert (code, told) == (1, ""), talk
    assert said in talk
