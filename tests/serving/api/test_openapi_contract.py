"""The document of routes holds: what it allows is taken, what it forbids refused, and every answer is as it says.

Requests are made from the document: a sample in every run of the tests, many more in `make torture`.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from forecast_assets.serving.access.roles import ROLES
from forecast_assets.serving.api.answer_examples import EXAMPLES
from forecast_assets.serving.dataplane.plane import DataPlane
from tests.support.callers import asked_over_http
from tests.support.contract_runs import contract_run
from tests.support.contracted_service import ContractedService, contracted
from tests.support.same_questions import METHODS, Known, questions
from tests.support.small_home import RUNS
from tests.torture.sizes import size

SMALL = Known(RUNS, [("S", "A"), ("S", "B")])
# By hand, as it were: each bound of each field in turn; by example and by chance.
BY_BOUNDS, BY_CHANCE = ("coverage",), ("examples", "fuzzing")
# Three routes take the same fields; at the length of every run the bounds are tried on one of them.
BOUNDS_OF = size(1, 0) and "^(?!/v1/(risks|explanations))"


@pytest.fixture(scope="module")
def service(small: DataPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractedService]:
    with contracted(small, tmp_path_factory.mktemp("contract")) as made:
        yield made


@pytest.fixture(scope="module")
def document(service: ContractedService) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", service.app)


def test_every_route_keeps_to_the_document(service: ContractedService) -> None:
    bounds = contract_run(service, "operator", size(5, 500), BY_BOUNDS, seed=7, routes=BOUNDS_OF)
    assert bounds.failures == []
    assert min(bounds.asked.values()) >= 5
    found = contract_run(service, "operator", size(5, 500), BY_CHANCE, seed=7)
    assert found.failures == []
    assert len(found.asked) == 17
    # Much was answered, and much refused.
    statuses = bounds.statuses + found.statuses
    assert min(statuses[status] for status in (200, 401, 404, 422)) > 10


@pytest.mark.parametrize("role", [role for role in ROLES if role != "operator"])
def test_it_holds_for_callers_of_every_role(service: ContractedService, role: str) -> None:
    found = contract_run(service, role, size(2, 200), BY_CHANCE, seed=8)
    assert found.failures == []
    assert found.statuses[403] > 0 or role == "support"


def test_answers_to_questions_of_what_is_there_are_as_the_document_says(
    service: ContractedService, document: Any
) -> None:
    client = service.client()
    answered: Counter[str] = Counter()
    for question in questions(SMALL, size(80, 2_000), seed=9, kinds=list(METHODS)):
        found = asked_over_http(client, question)
        document.find_operation_by_id(question.kind).validate_response(found)
        answered[question.kind] += found.status_code == 200
    assert all(answered.values()), answered
    assert service.plane.events is not None
    assert service.plane.events.buffer.flush(20)
    events = client.get("/v1/events").json()["events"]
    event = client.get(f"/v1/explain/{events[0]['event_id']}")
    document.find_operation_by_id("explain").validate_response(event)
    assert event.json()["steps"]


def test_what_is_not_as_the_document_says_is_seen_to(service: ContractedService, document: Any) -> None:
    found = service.client().get("/v1/versions")
    found._content = found.content.replace(b'"is_live":', b'"was_live":')
    with pytest.raises(Exception, match="is_live"):
        document.find_operation_by_id("versions").validate_response(found)


@pytest.mark.parametrize(("name", "status"), list(EXAMPLES))
def test_every_answer_has_an_example_that_is_one(service: ContractedService, name: str, status: int) -> None:
    document = service.app.openapi()
    operation = next(
        each for path in document["paths"].values() for each in path.values() if each["operationId"] == name
    )
    content = operation["responses"][str(status)]["content"]["application/json"]
    validator = jsonschema_rs.validator_for({"components": document["components"], **content["schema"]})
    shown = [each["value"] for each in content["examples"].values()]
    assert shown == list(EXAMPLES[name, status])
    for example in shown:
        validator.validate(example)
        first, *rest = example
        assert not validator.is_valid({name: example[name] for name in rest}), first


def test_the_document_says_of_every_route_what_it_answers_and_how_it_is_asked(service: ContractedService) -> None:
    document = service.app.openapi()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            described = [each for each in operation.get("parameters", []) if "$ref" not in each]
            assert all(each.get("description") for each in described), path
            if path.startswith("/v1"):
                assert {"200", "401", "403", "429", "500", "503"} <= set(operation["responses"]), path
            for status, response in operation["responses"].items():
                is_json = "application/json" in response["content"]
                assert is_json is (int(status) == 200 or path == "/health/ready"), (path, status)
                for kind, content in response["content"].items():
                    has_example = "example" in content or "examples" in content
                    assert has_example is ("json" in kind), (path, status, kind)
