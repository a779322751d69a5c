"""The service keeps the contract that its OpenAPI document states: schemathesis finds nothing (issue 4)."""

from __future__ import annotations

from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import FlakyStrategyDefinition
from running_service import service_on
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from test_experiments import HOLDOUT

EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    """The application with something in it to find."""
    folder = tmp_path_factory.mktemp("fuzzed")
    with service_on(f"sqlite:///{folder}/service.db", failed_auth_limit="") as running:
        running.post("/api/experiments", {**HOLDOUT, "key": "cart"})
        running.post("/api/experiments/1/assign", {"profile_ids": [f"p{i}" for i in range(50)]})
        yield running


@pytest.fixture(scope="module")
def contract(fuzzed):
    """Its document; what stands below /api stands below /api/v1 too."""
    found = schemathesis.openapi.from_asgi("/openapi.json", fuzzed.client.app)
    return found.include(path_regex=r"^/(api/v1|ofrep|webhooks|healthz|readyz|metrics)")


def findings(operation, headers: dict[str, str]) -> list[str]:
    """What schemathesis has against one operation: its first finding, or nothing."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def keeps_its_contract(case):
        case.call_and_validate(headers=headers, checks=CHECKS)

    try:
        keeps_its_contract()
    except (FailureGroup, Failure) as error:
        return [f"{operation.method.upper()} {operation.path}: {error}"]
    return []


def test_every_operation_keeps_its_contract(contract, fuzzed):
    headers = {"Authorization": f"Bearer {fuzzed.tokens['ADMIN']}"}
    operations = [found.ok() for found in contract.get_all_operations()]
    assert len(operations) > 40
    assert [finding for operation in operations for finding in findings(operation, headers)] == []


def test_any_walk_through_the_operations_keeps_the_contract(contract, fuzzed):
    """Stateful: what one answer names is asked of the next operation."""
    headers = {"Authorization": f"Bearer {fuzzed.tokens['ADMIN']}"}

    class Walk(contract.as_state_machine()):
        def get_call_kwargs(self, case):
            del case
            return {"headers": headers}

        def validate_response(self, response, case, additional_checks=(), **kwargs):
            del additional_checks, kwargs
            asked.append(case.operation.label)
            case.validate_response(response, checks=CHECKS)

    asked: list[str] = []
    chosen = settings(max_examples=12, stateful_step_count=8, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    with suppress(FlakyStrategyDefinition):  # the service remembers the walks before: one that begins alike may go on otherwise
        Walk.run(settings=settings(chosen, suppress_health_check=list(HealthCheck)))
    assert len(set(asked)) > 20
