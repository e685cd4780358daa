"""Requests that schemathesis makes from the document of routes, and what it finds wrong with the answers."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from schemathesis.checks import CheckContext
from schemathesis.config import SchemathesisConfig
from schemathesis.core.transport import Response
from schemathesis.engine import events, from_schema

from tests.support.contracted_service import ContractedService


@schemathesis.serializer("application/x-ndjson")
def _lines(_: Any, value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


@schemathesis.check
def what_the_document_allows_is_not_malformed(_: CheckContext, response: Response, case: schemathesis.Case) -> None:
    """What has the right form may be of what is not there, which is 422 too; but never for its names, types, bounds."""
    is_allowed = case.meta is not None and case.meta.generation.mode.is_positive
    if is_allowed and response.status_code == 422:
        assert response.json()["code"] != "malformed-request", response.text


@dataclass
class ContractRun:
    """What came of it.

    Attributes:
        failures: What is wrong, in words, with the request; empty where all is well.
        asked: Requests by route.
        statuses: Answers by status.
    """

    failures: list[str] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)


def contract_run(
    service: ContractedService, role: str, examples: int, phases: Sequence[str], *, seed: int, routes: str = ""
) -> ContractRun:
    """Ask all routes with the key of a role, seeded.

    Args:
        service: What is asked.
        role: Whose key.
        examples: Requests of each route and phase at most, where their number is a matter of taste.
        phases: Of `examples`, `coverage`, `fuzzing`, `stateful`.
        seed: Of what is made at random.
        routes: Only those whose path has this expression in it.
    """
    config: dict[str, Any] = {
        "seed": seed,
        "headers": {"Authorization": f"Bearer {service.keys[role]}"},
        "suppress-health-check": ["all"],
        "generation": {"max-examples": examples, "deterministic": True, "database": "none"},
        "phases": {name: {"enabled": name in phases} for name in ("examples", "coverage", "fuzzing", "stateful")},
        # See the check above.
        "checks": {"positive_data_acceptance": {"enabled": False}},
    }
    schema = schemathesis.openapi.from_asgi("/openapi.json", service.app, config=SchemathesisConfig.from_dict(config))
    found = ContractRun()
    for event in from_schema(schema.include(path_regex=routes) if routes else schema).execute():
        if isinstance(event, events.NonFatalError):
            found.failures.append(f"{event.label}: {event.value!r}")
        elif isinstance(event, events.FatalError):
            raise event.exception
        elif isinstance(event, events.ScenarioFinished):
            _note(found, event.recorder)
    return found


def _note(found: ContractRun, recorder: Any) -> None:
    for name, node in recorder.cases.items():
        found.asked[recorder.label] += 1
        interaction = recorder.interactions.get(name)
        if interaction is not None and interaction.response is not None:
            found.statuses[interaction.response.status_code] += 1
        for check in recorder.checks.get(name, []):
            if check.failure_info is not None:
                answered = interaction.response.text[:400] if interaction and interaction.response else ""
                found.failures.append(
                    f"{check.name}: {check.failure_info.failure} | {node.value.as_curl_command()[:600]} | {answered}"
                )
