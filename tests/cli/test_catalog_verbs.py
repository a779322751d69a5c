"""A team's own catalog on the command line: init, validate, diff, bump, metrics, catalogs in Git and in packages (XC-12, XC-45)."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fairtrial.cli import main
from fairtrial.spec import ExperimentConfigClient, get_experiment_config, list_available_experiments
from fairtrial.spec.access import ExperimentConfigError
from fairtrial.spec.templates import list_templates

CART = """\
# The cart test
key: cart   # never changes
owner: shop

arms: {control: 0.5, treatment: 0.5}  # half and half
metrics:
  - {key: bought, kind: proportion, role: primary}
plan: {baseline: 0.1, mde: 0.2}
"""


def fairtrial(*arguments, cwd):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stderr(err), contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return subprocess.CompletedProcess(arguments, ended.value.code, out.getvalue(), err.getvalue())


def git(folder: Path, *arguments: str) -> None:
    names = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"]
    subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def team(tmp_path):
    """A repository with one experiment, tagged v1."""
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "cart.yaml").write_text(CART, encoding="utf-8")
    git(tmp_path, "init", "-q", "-b", "main", ".")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "one")
    git(tmp_path, "tag", "v1")
    return tmp_path


def edit(team: Path, old: str, new: str) -> Path:
    file = team / "experiments" / "cart.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("old", "new", "level"),
    [
        ("owner: shop", "owner: checkout", "patch"),
        ("mde: 0.2", "mde: 0.1", "minor"),
        ("  - {key: bought", "  - {key: spend, kind: mean}\n  - {key: bought", "minor"),
        ("kind: proportion", "kind: mean", "major"),
        ("owner: shop", "owner: shop\nhypothesis: It helps.", "major"),
        ("mde: 0.2", "mde: 0.2, alpha: 0.1", "major"),
        ("treatment: 0.5", "treatment: 0.25, other: 0.25", "minor"),
        ("mde: 0.2", "mde: 0.2, alpha: 0.05", None),  # the default, written out
    ],
)
def test_a_version_moves_as_far_as_the_changes_call_for(team, old, new, level):
    edit(team, old, new)
    found = fairtrial("diff", "experiments/cart.yaml@HEAD", "experiments/cart.yaml", "--json", cwd=team)
    said = json.loads(found.stdout)
    assert (said["level"], said["version_ok"], found.returncode) == (level, level is None, int(level is not None))
    checked = fairtrial("validate", "experiments", "--against", "main", "--json", cwd=team)
    assert checked.returncode == int(level is not None)
    assert [problem["code"] for problem in json.loads(checked.stdout)["problems"]] == ([] if level is None else ["version"])


def test_a_bump_keeps_every_comment_and_is_refused_below_the_changes(team):
    file = edit(team, "mde: 0.2", "mde: 0.1")
    refused = fairtrial("bump", "experiments/cart.yaml", "--level", "patch", cwd=team)
    assert refused.returncode == 2
    assert "--level minor" in refused.stderr
    done = fairtrial("bump", "cart", "--catalog", "experiments", "-m", "Half the lift is worth it.", "--json", cwd=team)
    assert json.loads(done.stdout) | {"file": ""} == {
        "experiment": "cart", "file": "", "from": "1.0.0", "to": "1.1.0", "level": "minor", "compared_with": "HEAD",
    }  # fmt: skip
    text = file.read_text(encoding="utf-8")
    kept = [line for line in CART.replace("mde: 0.2", "mde: 0.1").splitlines() if line not in text.splitlines()]
    assert kept == []
    spec = yaml.safe_load(text)
    assert (spec["version"], [line["description"] for line in spec["change_log"]]) == ("1.1.0", ["Half the lift is worth it."])
    assert fairtrial("validate", "experiments", "--against", "main", cwd=team).returncode == 0
    assert fairtrial("bump", "experiments/cart.yaml", cwd=team).returncode == 0
    assert file.read_text(encoding="utf-8") == text, "bumping again changes nothing"


FORMS = {
    "catalog file": (
        "experiments:\n  # first\n  cart:\n    version: 1.0.0 # here\n    arms: [control, b]\n    metrics: [{key: m, kind: mean}]\n\n"
        "config_metadata:\n  version: 1.0.0\n  schema_version: '1'\n  change_log:\n"
        "    - {version: 1.0.0, date: 2026-01-01, description: a}  # start\n\n# end\n"
    ),
    "json": '{"key": "cart", "arms": ["control", "b"],\n "metrics": [{"key": "m", "kind": "mean"}]}\n',
    "flow log": "key: cart\narms: [control, b]\nmetrics: [{key: m, kind: mean}]\nchange_log: []\nplan: {mde: 0.1}\n",
    "quoted": "key: cart\nversion: '1.0.0'  # quoted\narms: [control, b]\nmetrics: [{key: m, kind: mean}]",
    "carriage returns": "key: cart\r\narms: [control, b]\r\nmetrics: [{key: m, kind: mean}]\r\n",
    "text block": "key: cart\narms: [control, b]\nmetrics: [{key: m, kind: mean}]\ndescription: |\n  Two\n  lines.\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_bump_writes_any_form_of_file(form, tmp_path):
    file = tmp_path / ("cart.json" if form == "json" else "cart.yaml")
    file.write_text(FORMS[form], encoding="utf-8", newline="")
    for level, version in (("patch", "1.0.1"), ("major", "2.0.0")):
        assert fairtrial("bump", file.name, "--level", level, "--no-keep", cwd=tmp_path).returncode == 0
        assert fairtrial("validate", file.name, cwd=tmp_path).stderr == ""
        assert get_experiment_config("cart", catalog=file)["version"] == version
    text = file.read_bytes().decode("utf-8")
    assert [line for line in FORMS[form].splitlines() if "#" in line and line.partition("#")[2] not in text] == []
    assert ("\r\n" in text) == ("\r\n" in FORMS[form])


def test_a_bump_keeps_the_version_before_for_consumers_that_pin_it(tmp_path):
    file = tmp_path / "cart.yaml"
    file.write_text(FORMS["catalog file"], encoding="utf-8")
    git(tmp_path, "init", "-q", ".")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "one")
    file.write_text(FORMS["catalog file"].replace("kind: mean", "kind: count"), encoding="utf-8")
    assert fairtrial("bump", "cart.yaml", cwd=tmp_path).returncode == 0
    assert fairtrial("validate", "cart.yaml", cwd=tmp_path).returncode == 0
    client = ExperimentConfigClient(file)
    assert client.get_experiment_config("cart")["metrics"][0]["kind"] == "count"
    assert client.get_experiment_config("cart", "1.0.0")["metrics"][0]["kind"] == "mean"


def test_a_catalog_in_git_gives_every_version_by_number_tag_and_revision(team):
    edit(team, "mde: 0.2", "mde: 0.1")
    assert fairtrial("bump", "experiments/cart.yaml", cwd=team).returncode == 0
    git(team, "commit", "-qam", "two")
    (team / "experiments" / "cart.yaml").write_text("key: [", encoding="utf-8")
    git(team, "commit", "-qam", "broken")
    at = f"git+{team.as_uri()}"
    client = ExperimentConfigClient(f"{at}@main~1#subdirectory=experiments")
    assert client.list_versions("cart") == ["1.1.0", "1.0.0"]
    for version, mde in ((None, 0.1), ("1.0.0", 0.2), ("v1", 0.2), ("main~1", 0.1)):
        assert client.get_experiment_config("cart", version)["plan"]["mde"] == mde
    assert list_available_experiments(catalog=f"{at}@v1#subdirectory=experiments") == ["cart"]
    with pytest.raises(ExperimentConfigError, match=r"no version '9\.0\.0'. Available versions: \['1\.1\.0', '1\.0\.0'\]"):
        client.get_experiment_config("cart", "9.0.0")
    shown = fairtrial("show", "cart@1.0.0", "--catalog", f"{at}@main~1#subdirectory=experiments", "--json", cwd=team)
    assert json.loads(shown.stdout)["plan"]["mde"] == 0.2


@pytest.mark.parametrize(
    ("catalog", "said"),
    [
        ("git+ext::sh -c id@v1", "A catalog in Git is written"),
        ("git+file:///nowhere-at-all@v1", "there is no '/nowhere-at-all'"),
        ("package:no_such_catalog_package", "must be installed"),
        ("package:", "must be installed"),
    ],
)
def test_a_catalog_that_is_not_there_is_said(catalog, said, tmp_path):
    done = fairtrial("list", "--catalog", catalog, cwd=tmp_path)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_a_revision_is_no_option_of_git(team):
    done = fairtrial("list", "--catalog", f"git+{team.as_uri()}@--output=x", cwd=team)
    assert "there is no '--output=x'" in done.stderr
    assert not (team / "x").exists()


def test_a_package_is_a_catalog(tmp_path, monkeypatch):
    (tmp_path / "acme_experiments").mkdir()
    (tmp_path / "acme_experiments" / "__init__.py").write_text('"""Ours."""\n', encoding="utf-8")
    (tmp_path / "acme_experiments" / "cart.yaml").write_text(CART, encoding="utf-8")
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[fairtrial.catalogs]\nacme = acme_experiments\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("package:acme_experiments", "package:acme"):
        assert list_available_experiments(catalog=name) == ["cart"]
        assert get_experiment_config("cart", catalog=name)["owner"] == "shop"
    sys.modules.pop("acme_experiments", None)


METRICS = """\
metric_catalog:
  spend: {kind: mean, description: Revenue per user, owner: finance, certified: true, missing: zero}
  spend_log: {extends: spend, column: spend, test: log1p, owner: science}
"""


def test_metrics_are_defined_once_and_used_by_name(team):
    (team / "experiments" / "metrics.yaml").write_text(METRICS, encoding="utf-8")
    edit(team, "metrics:\n", "metrics:\n  - {use: spend, role: guardrail, margin: 0.02, margin_kind: relative}\n")
    assert fairtrial("validate", "experiments", cwd=team).returncode == 0
    listed = json.loads(fairtrial("list", "experiments", "--metrics", "--json", cwd=team).stdout)["metrics"]
    assert [(m["name"], m["kind"], m["owner"], m["certified"], m["used_by"]) for m in listed] == [
        ("spend", "mean", "finance", True, ["cart"]),
        ("spend_log", "mean", "science", False, []),
    ]
    client = ExperimentConfigClient(team / "experiments")
    spend = client.get_experiment_spec("cart").metric("spend")
    assert (spend.description, spend.missing, spend.margin, spend.role) == ("Revenue per user", "zero", 0.02, "guardrail")
    assert client.metrics.metric("spend_log").metric.test == "log1p"
    before = client.get_experiment_spec("cart").spec_hash
    (team / "experiments" / "metrics.yaml").write_text(METRICS.replace("missing: zero", "missing: drop"), encoding="utf-8")
    assert ExperimentConfigClient(team / "experiments").get_experiment_spec("cart").spec_hash != before


def test_an_entry_in_sections_uses_metrics_by_name(tmp_path):
    entry = get_experiment_config("checkout_simplification_test")
    entry["metrics"]["secondary"] = [{"use": "spend", "guardrail_threshold": -0.02}]
    del entry["metadata"]["config_version"]
    whole = {
        "experiments": {"checkout_simplification_test": entry},
        "metric_catalog": {"spend": {"kind": "mean", "description": "Revenue"}},
    }
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    spec = ExperimentConfigClient(tmp_path).get_experiment_spec("checkout_simplification_test")
    assert (spec.metric("spend").kind, spec.metric("spend").margin) == ("mean", 0.02)


def test_github_is_told_the_file_and_the_line(team):
    edit(team, "plan: {baseline: 0.1, mde: 0.2}", "plan:\n  baseline: 0.1\n  mde: 20%\n")
    done = fairtrial("validate", "experiments", "--format", "github", cwd=team)
    assert done.returncode == 1
    first = done.stdout.splitlines()[0]
    assert first.startswith("::error file=experiments/cart.yaml,line=10,title=fairtrial%3A cart::plan.mde")
    assert "write 0.2." in first
    assert "%25" in first, "a percent sign is escaped"


def test_every_template_is_valid_and_can_be_sized(tmp_path):
    """XC-45."""
    names = list(list_templates())
    areas = {"ecommerce": ("pricing", "ux", "discovery"), "ml": ("recommendation", "personalisation", "predictive")}
    areas["growth"] = ("onboarding", "retention", "monetisation")
    assert sorted(names) == sorted(["minimal", *(f"{area}/{name}" for area, own in areas.items() for name in own)])
    for name in names:
        file = f"{name.rpartition('/')[2]}.yaml"
        assert fairtrial("init", "--template", name, cwd=tmp_path).returncode == 0
        assert "#" in (tmp_path / file).read_text(encoding="utf-8")
        sized = fairtrial("power", file, "--json", cwd=tmp_path)
        assert sized.returncode == 0, (name, sized.stdout)
    checked = fairtrial("validate", ".", "--json", cwd=tmp_path)
    assert (checked.returncode, json.loads(checked.stdout)["problems"]) == (0, [])


def test_init_writes_over_nothing_and_names_the_experiment(tmp_path):
    assert fairtrial("init", "--key", "it's mine", "a.yaml", cwd=tmp_path).returncode == 0
    assert get_experiment_config("it's mine", catalog=tmp_path / "a.yaml")["key"] == "it's mine"
    assert fairtrial("init", "a.yaml", cwd=tmp_path).returncode == 2
    assert fairtrial("init", "a.yaml", "--force", cwd=tmp_path).returncode == 0
    for wrong in (["--template", "ecommerce/prices"], ["--key", "42"], ["a.json"]):
        assert (
            fairtrial(
                "init", "b.yaml" if "a.json" not in wrong else wrong[0], *[w for w in wrong if w != "a.json"], cwd=tmp_path
            ).returncode
            == 2
        )


def test_a_report_says_that_the_spec_was_changed_after_the_launch(team):
    rows = [f"u{i},{'control' if i % 2 else 'treatment'},{int(i // 2 % 10 == 0)}" for i in range(400)]
    (team / "experiments" / "units.csv").write_text("\n".join(["user,arm,bought", *rows]), encoding="utf-8")
    file = edit(team, "plan:", "data: {source: units.csv, unit: user}\nplan:")
    same = fairtrial("analyze", file, "--launched", file, "--json", cwd=team)
    assert "spec_amended" not in same.stdout
    edit(team, "mde: 0.2", "mde: 0.2, alpha: 0.1")
    card = json.loads(fairtrial("analyze", file, "--launched", f"{file}@v1", "--json", cwd=team).stdout)
    finding = next(finding for finding in card["findings"] if finding["code"] == "spec_amended")
    assert (finding["severity"], finding["numbers"]["level"]) == ("warning", "major")
    assert "plan.alpha" in finding["message"]


def test_a_file_read_alone_knows_what_stands_beside_it(team):
    folder = team / "experiments"
    metrics = folder / "metrics.yaml"
    metrics.write_text("metric_catalog:\n  spend: {kind: mean, missing: zero}\n", encoding="utf-8")
    badge = CART.replace("key: cart ", "key: badge ").replace("plan:", "prerequisites: [cart]\nplan:")
    uses = "role: primary}\n  - {use: spend, role: guardrail, margin: 0.02, margin_kind: relative}"
    (folder / "badge.yaml").write_text(badge.replace("role: primary}", uses), encoding="utf-8")
    (folder / "notes.json").write_text("[not, a, spec", encoding="utf-8")
    assert fairtrial("validate", "experiments/badge.yaml", cwd=team).returncode == 0
    shown = fairtrial("show", "badge.yaml", "--json", cwd=folder)
    assert shown.returncode == 0
    assert "spend" in shown.stdout
    (folder / "notes.json").unlink()
    git(team, "add", "-A")
    git(team, "commit", "-qm", "two")
    metrics.write_text("metric_catalog:\n  spend: {kind: mean, missing: drop}\n", encoding="utf-8")
    said = json.loads(fairtrial("diff", "experiments/badge.yaml@HEAD", "experiments/badge.yaml", "--json", cwd=team).stdout)
    assert [change["path"] for change in said["changes"]] == ["metrics.spend.missing"]
    bumped = json.loads(fairtrial("bump", "experiments/badge.yaml", "--json", cwd=team).stdout)
    assert (bumped["level"], bumped["compared_with"]) == ("major", "HEAD")
    metrics.unlink()
    assert "No metric 'spend'" in fairtrial("validate", "experiments/badge.yaml", cwd=team).stderr
