"""The reference of the service is complete: every setting, every operation, and the OpenAPI document as it is."""

from __future__ import annotations

import json
import re

import generate
import service_reference
from page_runner import DOCS

from fairtrial.service import Settings


def test_every_setting_is_listed_with_its_meaning():
    text = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"\n`FAIRTRIAL_{name.upper()}`\n" not in text] == []
    assert "SecretStr" not in text


def test_every_operation_is_listed():
    text = (DOCS / "reference" / "http.md").read_text(encoding="utf-8")
    paths = service_reference.document()["paths"]
    assert len(paths) > 40
    for path, operations in paths.items():
        shown = path if path.startswith("/api/v1") or not path.startswith("/api/") else f"/api/v1{path.removeprefix('/api')}"
        for method in operations:
            assert f"`{method.upper()} {shown}`" in text, (method, path)


def test_the_openapi_document_of_the_repository_is_current():
    """Run python docs/generate.py."""
    assert json.loads(generate.OPENAPI.read_text(encoding="utf-8")) == service_reference.document()


def test_names_of_operations_are_unique_and_every_one_says_what_it_does():
    operations = [one for path in service_reference.document()["paths"].values() for one in path.values()]
    assert all(one.get("description") or one.get("summary") for one in operations)
    names = [one["operationId"] for one in operations]
    assert len(names) == len(set(names))


def test_settings_that_pages_name_exist():
    named = {
        name
        for page in [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]
        for name in re.findall(r"FAIRTRIAL_([A-Z][A-Z0-9_]*[A-Z0-9])", page.read_text(encoding="utf-8"))
    }
    elsewhere = {"catalog", "data_dir", "service", "token"}
    assert {name.lower().partition("__")[0] for name in named} - set(Settings.model_fields) - elsewhere == set()
