"""Experiments as code: the shipped catalog and catalogs of one's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml

import fairtrial._version
from fairtrial.errors import SpecError, UnknownNameError, UsageError
from fairtrial.spec import (
    ExperimentConfigClient,
    ExperimentConfigError,
    ExperimentSpec,
    experiment_config_warnings,
    get_experiment_config,
    get_package_version,
    list_available_experiments,
    validate_experiment_config,
)
from fairtrial.spec.access import SHIPPED
from fairtrial.spec.catalog_model import REQUIRED_SECTIONS
from fairtrial.stats.power_means import sample_size_two_means
from fairtrial.stats.power_proportions import sample_size_two_proportions

ORDER = [
    "free_shipping_threshold_test",
    "checkout_simplification_test",
    "recommendation_algorithm_test",
    "free_shipping_threshold_test_v1_1_1",
    "free_shipping_threshold_test_v1_1",
    "free_shipping_threshold_test_v2",
    "free_shipping_threshold_test_feasible",
]
PRIMARY = (
    "Reducing free shipping threshold from $50 to $35 will increase conversion rate by 8% relative (4.5% → 4.86%) "
    "due to reduced purchase friction"
)


def _spec(name: str) -> ExperimentSpec:
    return ExperimentConfigClient().get_experiment_spec(name)


def test_the_shipped_experiments_stand_in_the_documented_order():
    """XC-05 and the example of GET /api/v1/configs."""
    assert list_available_experiments() == ORDER


@pytest.mark.parametrize("name", ORDER)
def test_every_shipped_experiment_is_whole_and_valid(name):
    """XC-03, XC-05, XC-06..11: all sections, the key as its name, every rule kept, fit for JSON."""
    config = get_experiment_config(name)
    assert [section for section in REQUIRED_SECTIONS if section not in config] == []
    assert config["design"]["experiment_name"] == name
    assert validate_experiment_config(name) is True
    assert validate_experiment_config(config) is True
    assert json.loads(json.dumps(config, allow_nan=False)) == config
    assert ExperimentConfigClient().load(name).spec.key == name


def test_the_flagship_states_its_hypothesis_word_for_word():
    """XC-05."""
    assert get_experiment_config("free_shipping_threshold_test")["hypothesis"]["primary"] == PRIMARY


def test_v1_1_1_declares_what_the_golden_analysis_reads():
    """XC-05: primary orders_per_eligible_user at .05, secondary active_user_rate at -.02."""
    metrics = get_experiment_config("free_shipping_threshold_test_v1_1_1")["metrics"]
    assert (metrics["primary"]["name"], metrics["primary"]["threshold"]) == ("orders_per_eligible_user", 0.05)
    assert [(m["name"], m["guardrail_threshold"]) for m in metrics["secondary"]] == [("active_user_rate", -0.02)]
    spec = _spec("free_shipping_threshold_test_v1_1_1")
    guard = spec.metric("active_user_rate")
    assert (guard.kind, guard.role, guard.margin, guard.margin_kind) == ("proportion", "guardrail", 0.02, "relative")
    plan = spec.plan
    size = sample_size_two_means(plan.mde * plan.baseline, plan.baseline_sd or plan.baseline**0.5, alpha=plan.alpha, power=plan.power)
    assert size.n_control_ceil <= 577  # the golden read of 578 and 577 users completes the plan


@pytest.mark.parametrize(("name", "per_arm"), [("free_shipping_threshold_test", 54_033), ("free_shipping_threshold_test_feasible", 9_509)])
def test_the_plans_need_the_documented_sizes(name, per_arm):
    """V.b: sizes of the flagship and of its feasible sister, from the translated plan alone."""
    plan = _spec(name).plan
    size = sample_size_two_proportions(plan.baseline, plan.mde, mde_kind=plan.mde_kind, alpha=plan.alpha, power=plan.power)
    assert (size.n_control_ceil, size.n_treatment_ceil) == (per_arm, per_arm)
    assert plan.max_days == 56


def test_the_planned_run_of_every_experiment_holds_its_sample():
    """Traffic and duration agree with the size, but for the flagship, which is documented as not feasible."""
    client = ExperimentConfigClient()
    for name in ORDER:
        entry, spec = client.get_catalog_entry(name), client.get_experiment_spec(name)
        plan, share = spec.plan, min(spec.shares.values())
        if spec.primary.kind == "proportion":
            size = sample_size_two_proportions(plan.baseline, plan.mde, mde_kind=plan.mde_kind, alpha=plan.alpha, power=plan.power)
        else:
            size = sample_size_two_means(
                plan.mde * plan.baseline, plan.baseline_sd or plan.baseline**0.5, alpha=plan.alpha, power=plan.power
            )
        power = entry.power_analysis
        days = size.n_control * power.sample_size.safety_buffer / share / power.traffic_analysis.daily_eligible_users
        assert (days <= plan.max_days) is (name != "free_shipping_threshold_test")


def test_short_and_long_populations_are_both_shipped():
    """XC-07."""
    forms = {type(get_experiment_config(name)["population"]["eligibility_criteria"]["include"]) for name in ORDER}
    assert forms == {list, dict}


@pytest.mark.parametrize("name", ["nonexistent_experiment", "", "FREE_SHIPPING_THRESHOLD_TEST"])
def test_an_unknown_name_is_answered_with_the_list(name):
    """XC-02: the text is fixed; the hint says where to look."""
    for ask in (get_experiment_config, validate_experiment_config, experiment_config_warnings):
        with pytest.raises(ExperimentConfigError) as caught:
            ask(name)
        assert str(caught.value) == f"Experiment '{name}' not found. Available experiments: {ORDER}"
        assert caught.value.message == str(caught.value)
        assert caught.value.hint.endswith("fairtrial list")
        assert caught.value.code == "unknown_experiment"
        assert isinstance(caught.value, UnknownNameError)


def test_a_near_miss_is_suggested():
    with pytest.raises(ExperimentConfigError) as caught:
        get_experiment_config("checkout_simplificaton_test")
    assert caught.value.hint == "Did you mean 'checkout_simplification_test'? fairtrial list"


def test_older_versions_can_be_pinned():
    """XC-01."""
    client = ExperimentConfigClient()
    name = "checkout_simplification_test"
    assert client.list_versions(name) == ["1.1.0", "1.0.0"]
    new, old = get_experiment_config(name), get_experiment_config(name, "1.0.0")
    assert new == get_experiment_config(name, version="1.1.0")
    assert (new["metadata"]["config_version"], old["metadata"]["config_version"]) == ("1.1.0", "1.0.0")
    assert "guardrail_metrics" not in old["metrics"]
    assert client.get_experiment_spec(name, "1.0.0").version == "1.0.0"
    with pytest.raises(ExperimentConfigError) as caught:
        get_experiment_config(name, "2.0.0")
    assert str(caught.value) == f"Experiment '{name}' has no version '2.0.0'. Available versions: ['1.1.0', '1.0.0']"
    assert caught.value.code == "unknown_version"


def test_a_configuration_is_the_files_own_and_its_own_copy():
    """XC-01: a plain dict, with dates as ISO text; changing it changes nothing else."""
    config = get_experiment_config("free_shipping_threshold_test")
    own = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))["experiments"]["free_shipping_threshold_test"]
    assert config["design"]["temporal_schedule"]["start_date"] == own["design"]["temporal_schedule"]["start_date"].isoformat()
    assert config["metrics"] == own["metrics"]
    config["metrics"]["primary"]["name"] = "changed"
    config["variants"].clear()
    again = get_experiment_config("free_shipping_threshold_test")
    assert again["metrics"]["primary"]["name"] == "conversion_rate"
    assert list(get_experiment_config("free_shipping_threshold_test_feasible")["variants"]) == ["control", "treatment"]


def test_the_version_of_the_package_has_one_source():
    """XC-01."""
    assert get_package_version() == fairtrial._version.__version__


def _catalog(entry: dict, **more: object) -> dict:
    return {"experiments": {"free_shipping_threshold_test": entry}, **more}


def _write(folder, content: dict, name: str = "catalog.json"):
    file = folder / name
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def test_a_client_reads_another_file_or_folder(tmp_path, entry, short, model):
    _write(tmp_path, _catalog(entry))
    _write(tmp_path, short, "short.json")
    _write(tmp_path, model, "model.json")
    client = ExperimentConfigClient(tmp_path)
    assert client.list_available_experiments() == ["free_shipping_threshold_test", "ranker_test", "checkout"]
    assert client.get_experiment_config("checkout") == short
    assert all(client.validate_experiment_config(name) for name in client.list_available_experiments())
    assert client.load("ranker_test").base == tmp_path
    assert client.experiment_config_warnings("checkout") == []
    assert ExperimentConfigClient(tmp_path / "short.json").list_available_experiments() == ["checkout"]


def test_a_client_of_nothing_says_so(tmp_path):
    with pytest.raises(UsageError, match="there is no"):
        ExperimentConfigClient(tmp_path / "nowhere")


def test_a_spec_without_a_name_is_refused_when_the_catalog_is_opened(tmp_path, short):
    del short["key"]
    with pytest.raises(SpecError, match="key is required"):
        ExperimentConfigClient(_write(tmp_path, short))


META = {"version": "1.0.0", "schema_version": "1.0"}


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"config_metadta": META}, "Did you mean 'config_metadata'?"),
        ({"config_metadata": {"version": "1"}}, "config_metadata.schema_version is required"),
        ({"config_metadata": {**META, "schema_version": "7"}}, "must be one of ['1', '1.0']"),
        ({"config_metadata": {**META, "validation_rules": {"alpha": [0, 1]}}}, "unknown key 'alpha' in config_metadata.validation_rules"),
        ({"config_metadata": {**META, "validation_rules": {"statistical_power": [0.9, 0.8]}}}, "a range is [low, high], got [0.9, 0.8]"),
        ({"previous_versions": {"other": []}}, "has no experiment 'other'"),
    ],
)
def test_the_top_level_of_a_catalog_is_checked(tmp_path, entry, more, rule):
    """XC-04."""
    with pytest.raises(SpecError) as caught:
        ExperimentConfigClient(_write(tmp_path, _catalog(entry, **more)))
    assert rule in str(caught.value)


def test_a_file_sets_its_own_ranges(tmp_path, entry):
    """XC-04, XC-12: validation_rules are executed, in the client and in the loader alike."""
    strict = {**META, "validation_rules": {"statistical_power": [0.85, 0.95]}}
    client = ExperimentConfigClient(_write(tmp_path, _catalog(entry, config_metadata=strict)))
    with pytest.raises(SpecError, match=r"statistical_power must lie in \[0\.85, 0\.95\], got 0\.8"):
        client.validate_experiment_config("free_shipping_threshold_test")
    assert validate_experiment_config(entry) is True


def _with_version(entry: dict, version: str) -> dict:
    return {**entry, "metadata": {**entry["metadata"], "config_version": version}}


@pytest.mark.parametrize(
    ("current", "previous", "logged", "rule"),
    [
        ("1.1.0", ["1.0.0"], [], "needs a line in the change log"),
        ("1.1.0", ["1.1.0"], ["1.1.0"], "must differ"),
        ("1.9.0", ["1.10.0"], ["1.9.0", "1.10.0"], "must be the newest"),
        ("1.10.0", ["1.9.0", "1.0.0"], ["1.9.0", "1.10.0"], None),
    ],
)
def test_a_new_version_is_logged(tmp_path, entry, current, previous, logged, rule):
    """XC-12: every version but the first has its line."""
    log = [{"version": v, "date": "2024-01-01", "experiment": "free_shipping_threshold_test", "description": "d"} for v in logged]
    older = {"free_shipping_threshold_test": [_with_version(entry, version) for version in previous]}
    content = _catalog(_with_version(entry, current), previous_versions=older, config_metadata={**META, "change_log": log})
    file = _write(tmp_path, content)
    if rule is None:
        assert ExperimentConfigClient(file).list_versions("free_shipping_threshold_test") == [current, *previous]
    else:
        with pytest.raises(SpecError, match=rule):
            ExperimentConfigClient(file)


def test_a_broken_older_version_is_found(tmp_path, entry):
    log = [{"version": "1.1.0", "date": "2024-01-01", "experiment": "free_shipping_threshold_test", "description": "d"}]
    old = _with_version({**entry, "colour": "red"}, "1.0.0")
    content = _catalog(_with_version(entry, "1.1.0"), previous_versions={"free_shipping_threshold_test": [old]})
    client = ExperimentConfigClient(_write(tmp_path, {**content, "config_metadata": {**META, "change_log": log}}))
    with pytest.raises(SpecError, match="unknown key 'colour'"):
        client.validate_experiment_config("free_shipping_threshold_test")


SESSION = """
from fairtrial.spec import get_experiment_config, get_package_version, list_available_experiments, ExperimentConfigError
print('✅ Setup complete')
print(get_package_version())
print(list_available_experiments()[:3])
config = get_experiment_config('free_shipping_threshold_test')
print(config['hypothesis']['primary'])
try:
    get_experiment_config('nonexistent_experiment')
except ExperimentConfigError as error:
    print(error)
"""


def test_the_documented_session_runs():
    """XC-46: set up, version, list, read a config, handle an error, in a fresh process."""
    lines = _run(SESSION).splitlines()
    assert lines == [
        "✅ Setup complete",
        get_package_version(),
        str(ORDER[:3]),
        PRIMARY,
        f"Experiment 'nonexistent_experiment' not found. Available experiments: {ORDER}",
    ]


def test_importing_the_spec_is_light():
    """DESIGN 4: no data libraries behind a spec."""
    heavy = ("pandas", "numpy", "scipy", "ibis", "duckdb", "pyarrow", "sqlalchemy", "altair", "rich")
    out = _run(f"import sys, fairtrial.spec; fairtrial.spec.list_available_experiments(); print([m for m in {heavy} if m in sys.modules])")
    assert out.strip() == "[]"


def _run(script: str) -> str:
    env = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, check=True)
    return done.stdout.decode("utf-8")
