"""Specs brought to a service by plan and apply, over real HTTP: nothing twice, nothing that runs is edited (XC-12)."""

import contextlib
import io
import json
import subprocess
import threading

import pytest
import yaml
from running_service import real_service

from fairtrial.cli import main
from fairtrial.client import Client

CART = {
    "key": "cart",
    "arms": {"control": 0.5, "treatment": 0.5},
    "metrics": [{"key": "bought", "kind": "proportion"}],
    "plan": {"baseline": 0.1, "mde": 0.2},
}


def fairtrial(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return subprocess.CompletedProcess(arguments, ended.value.code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("applied")
    with real_service(folder, f"sqlite:///{folder}/service.db") as (address, token, _):
        yield address, token


@pytest.fixture
def service(address, monkeypatch):
    monkeypatch.setenv("FAIRTRIAL_SERVICE", address[0])
    monkeypatch.setenv("FAIRTRIAL_TOKEN", address[1])
    with Client(*address) as client:
        yield client


def write(folder, spec: dict):
    file = folder / f"{spec['key']}.yaml"
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    return file


def actions(*arguments) -> list[str]:
    return [step["action"] for step in json.loads(fairtrial(*arguments, "--json").stdout)["steps"]]


def test_an_experiment_from_file_to_running_to_amended(service, tmp_path):
    write(tmp_path, CART)
    write(tmp_path, {**CART, "key": "other"})
    planned = fairtrial("plan", tmp_path, "--exit-code")
    assert (planned.returncode, "2 to create" in planned.stdout) == (2, True)
    assert service.experiments()["total"] == 0, "a plan changes nothing"
    assert fairtrial("apply", tmp_path, "--yes").returncode == 0
    assert actions("apply", tmp_path) == ["none", "none"]
    assert fairtrial("plan", tmp_path, "--exit-code").returncode == 0
    # a draft is rewritten, without a version
    file = write(tmp_path, {**CART, "plan": {"baseline": 0.1, "mde": 0.1}})
    assert actions("apply", file) == ["rewrite"]
    assert len(service.versions("cart")) == 1
    # what runs gets a new version, when its own version has moved
    service.start("cart")
    amended = {**CART, "plan": {"baseline": 0.1, "mde": 0.1}, "arms": {"control": 0.4, "treatment": 0.6}}
    file = write(tmp_path, amended)
    refused = fairtrial("apply", file, "--yes")
    assert (refused.returncode, "must move to 1.1.0" in refused.stdout) == (1, True)
    assert len(service.versions("cart")) == 1
    log = [{"version": "1.1.0", "date": "2026-03-02", "level": "minor", "description": "More treatment."}]
    file = write(tmp_path, {**amended, "version": "1.1.0", "change_log": log})
    assert actions("plan", file) == ["new version"]
    assert actions("apply", file) == ["new version"]
    assert [(one["version"], one["reason"]) for one in service.versions("cart")] == [(2, "1.1.0: More treatment."), (1, "")]
    assert actions("apply", file) == ["none"]
    # a plan that has started stays; nothing of the folder is applied when a part is refused
    write(tmp_path, {**amended, "version": "2.0.0", "plan": {"baseline": 0.1, "mde": 0.05}})
    write(tmp_path, {**CART, "key": "third"})
    refused = fairtrial("apply", tmp_path, "--yes")
    assert (refused.returncode, "its plan stay as they were" in refused.stdout) == (1, True)
    assert service.experiments(search="third")["total"] == 0
    service.change_status("cart", "completed")
    ended = fairtrial("plan", file)
    assert (ended.returncode, "it is completed" in ended.stdout) == (1, True)


def test_two_applies_at_once_make_one(service, tmp_path):
    file = write(tmp_path, {**CART, "key": "raced"})
    answers: list[int] = []

    def apply() -> None:
        with Client(str(service._http.base_url), service._http.headers["Authorization"].removeprefix("Bearer ")) as own:
            from fairtrial.cli.deployment import _step, _take  # noqa: PLC0415
            from fairtrial.spec import load_spec  # noqa: PLC0415

            found = load_spec(file)
            step = _step(own, found)
            ready.wait()
            answers.append(_take(own, step, None).action in {"create", "none"})

    ready = threading.Barrier(4)
    threads = [threading.Thread(target=apply) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 4
    assert service.experiments(search="raced")["total"] == 1
    assert len(service.versions("raced")) == 1


def test_a_service_that_is_none_or_a_key_too_low_is_said(service, tmp_path, address):
    file = write(tmp_path, {**CART, "key": "fourth"})
    key = service.create_key("reader", "VIEWER")["token"]
    assert actions("plan", file, "--token", key) == ["create"]
    refused = fairtrial("apply", file, "--token", key, "--yes")
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
    assert fairtrial("plan", file, "--service", "localhost").returncode == 2
    assert fairtrial("plan", file, "--service", f"{address[0]}/elsewhere").returncode == 1
    did = {"key": "did", "kind": "did", "metrics": CART["metrics"], "design": {"unit": "u", "time": "t", "treated": "x", "start": 2}}
    refused = fairtrial("plan", write(tmp_path, did))
    assert (refused.returncode, "fairtrial analyze" in refused.stdout) == (1, True)


def test_the_scorecard_of_the_service_tells_amendments(service):
    arms = [{"key": "treatment", "allocation": 0.8}, {"key": "control", "allocation": 0.2}]
    spec = {"key": "mail", "kind": "holdout", "arms": arms, "metrics": [{"key": "converted", "kind": "proportion"}]}
    service.create_from_spec(spec, channel="email", conversion_key="buy")
    service.start("mail")
    service.assign("mail", [f"p{i}" for i in range(200)])
    assert "spec_amended" not in json.dumps(service.scorecard("mail"))
    service.add_version("mail", {**spec, "arms": [arms[0] | {"allocation": 0.7}, arms[1] | {"allocation": 0.3}]}, "A larger control.")
    findings = {finding["code"]: finding for finding in service.scorecard("mail")["findings"]}
    assert "A larger control." in findings["spec_amended"]["message"]
    assert findings["spec_amended"]["severity"] == "warning"
