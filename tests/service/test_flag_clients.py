"""The published OpenFeature clients get what the library says: Python, and Node's server and web SDK (G-9)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from flag_specs import CHECKOUT, COLOURS, ITALIANS, UNITS, arms_of, values_of
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from running_service import real_service

NODE = Path(__file__).parents[1] / "node"
NUMBERS = {**CHECKOUT, "key": "price", "arms": [{"key": "control", "value": 9.5}, {"key": "treatment", "value": 12.25}]}
OBJECTS = {
    **CHECKOUT,
    "key": "layout",
    "arms": [{"key": "control", "value": {"columns": 1}}, {"key": "treatment", "value": {"columns": 2}}],
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The real program with four running experiments; its address and a client key."""
    folder = tmp_path_factory.mktemp("served")
    url = f"sqlite:///{folder}/served.db"
    with real_service(folder, url) as (address, admin, _):
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {admin}"}) as http:
            for spec in ({**CHECKOUT, "eligibility": ITALIANS}, COLOURS, NUMBERS, OBJECTS):
                number = http.post("/api/v1/experiments", json={"spec": spec}).raise_for_status().json()["id"]
                http.post(f"/api/v1/experiments/{number}/status", json={"status": "running"}).raise_for_status()
        program = Path(shutil.which("fairtrial", path=str(Path(sys.executable).parent)))
        command = [program, "token", "create", "--client", "--database", url]
        made = subprocess.run(command, capture_output=True, text=True, check=True)
        yield address, made.stdout.strip()


@pytest.fixture(scope="module")
def python_client(served):
    address, token = served
    api.set_provider(OFREPProvider(address, headers_factory=lambda: {"Authorization": f"Bearer {token}"}))
    yield api.get_client()
    api.shutdown()


def test_the_python_client_gets_a_thousand_units_right(python_client):
    arms, values = arms_of(COLOURS), values_of(COLOURS)
    for unit in UNITS:
        found = python_client.get_string_details(COLOURS["key"], "fallback", EvaluationContext(unit))
        assert (found.variant, found.value, found.reason) == (arms[unit], values[arms[unit]], "SPLIT"), found
    assert found.flag_metadata["version"] == 1


def test_the_python_client_reads_every_type_and_every_error(python_client):
    treated = next(unit for unit, arm in arms_of(CHECKOUT).items() if arm == "treatment")
    italian = python_client.get_boolean_details("checkout", False, EvaluationContext(treated, {"country": "IT"}))
    assert (italian.variant, italian.value) == ("treatment", True)
    french = python_client.get_boolean_details("checkout", True, EvaluationContext(treated, {"country": "FR"}))
    assert (french.variant, french.value, french.reason, french.flag_metadata["outside"]) == ("", False, "DEFAULT", "not_eligible")
    assert python_client.get_float_details("price", 0.0, EvaluationContext("u")).value in {9.5, 12.25}
    assert python_client.get_object_details("layout", {}, EvaluationContext("u")).value in ({"columns": 1}, {"columns": 2})
    assert python_client.get_boolean_details("nobody", True, EvaluationContext("u")).error_code == "FLAG_NOT_FOUND"
    assert python_client.get_boolean_details("checkout", True, EvaluationContext()).error_code == "TARGETING_KEY_MISSING"


@pytest.mark.parametrize("kind", ["server", "web"])
def test_the_node_clients_get_a_thousand_units_right(served, kind, tmp_path_factory):
    asked = [{"targetingKey": unit} for unit in UNITS]
    found = ask_node(served, kind, COLOURS["key"], asked, "fallback", tmp_path_factory)
    arms, values = arms_of(COLOURS), values_of(COLOURS)
    assert [(one["variant"], one["value"], one["reason"]) for one in found] == [(arms[unit], values[arms[unit]], "SPLIT") for unit in UNITS]
    assert {one["version"] for one in found} == {1}


@pytest.mark.parametrize("kind", ["server", "web"])
def test_the_node_clients_read_every_type_and_every_error(served, kind, tmp_path_factory):
    treated = next(unit for unit, arm in arms_of(CHECKOUT).items() if arm == "treatment")
    asked = [{"targetingKey": treated, "country": country} for country in ("IT", "FR")]
    italian, french = ask_node(served, kind, "checkout", asked, True, tmp_path_factory)
    assert (italian["variant"], italian["value"]) == ("treatment", True)
    assert (french["variant"], french["value"], french["reason"]) == ("", False, "DEFAULT")
    unit = [{"targetingKey": "u"}]
    assert ask_node(served, kind, "price", unit, 0, tmp_path_factory)[0]["value"] in {9.5, 12.25}
    assert ask_node(served, kind, "layout", unit, {}, tmp_path_factory)[0]["value"] in ({"columns": 1}, {"columns": 2})
    assert ask_node(served, kind, "nobody", unit, False, tmp_path_factory)[0]["errorCode"] == "FLAG_NOT_FOUND"


def ask_node(served, kind: str, flag: str, units: list[dict], fallback: object, tmp_path_factory) -> list[dict]:
    address, token = served
    folder = installed(kind, tmp_path_factory)
    questions = folder / "questions.json"
    questions.write_text(json.dumps({"units": units, "fallback": fallback}), encoding="utf-8")
    command = ["node", "ask.mjs", address, token, flag, str(questions)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


INSTALLED: dict[str, Path] = {}


def installed(kind: str, tmp_path_factory) -> Path:
    """A folder with the client and its packages, once a run; skips where there is no Node or no registry."""
    if kind in INSTALLED:
        return INSTALLED[kind]
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not on this machine")
    folder = tmp_path_factory.mktemp(f"node-{kind}")
    shutil.copytree(NODE / kind, folder, dirs_exist_ok=True)
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode:
        pytest.skip(f"npm could not install the OpenFeature clients: {done.stderr.strip().splitlines()[0]}")
    INSTALLED[kind] = folder
    return folder
