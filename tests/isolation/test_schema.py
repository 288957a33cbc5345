"""The API keeps to its own description whatever it is sent, and nothing that is sent makes it fail."""

from __future__ import annotations

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from tests.isolation.ownership import Person, TwoPeople

load_all_checks()
KEPT = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "unsupported_method",
    ]
)


@pytest.mark.process
def test_what_comes_back_is_as_described_and_never_a_failure() -> None:
    house = TwoPeople()
    try:
        schema = schemathesis.openapi.from_dict(house.ann.send("GET", "/api/openapi.json").json())
        operations = [found.ok() for found in schema.get_all_operations()]
        assert len(operations) > 25
        for operation in operations:
            right, wrong = (operation.as_strategy(generation_mode=mode) for mode in GenerationMode)
            try_out(house, right | wrong)
    finally:
        house.close()


def try_out(house: TwoPeople, cases: st.SearchStrategy[Case]) -> None:
    @given(case=cases)
    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def holds(case: Case) -> None:
        known = a_conversation(house)
        for name in case.path_parameters.keys() & known.keys():
            if len(str(case.path_parameters[name])) % 2:  # half of the ids are real ones
                case.path_parameters[name] = known[name]
        case.validate_response(sent(case, house.ann), checks=KEPT)

    holds()


def a_conversation(house: TwoPeople) -> dict[str, str]:
    """The ids of one that is there, whatever was done to others before, and of a comparison."""
    for line in house.ann.send("GET", "/api/conversations").json()["conversations"]:
        if line["kind"] == "comparison":
            continue
        turn = house.ann.send("GET", f"/api/conversations/{line['id']}").json()["turns"][0]
        return {"conversation_id": line["id"], "generation_id": turn["chosen_id"], **a_comparison(house)}
    house.ann.send("PUT", "/api/admin/drain", {"on": False})
    made = house.ann.send("POST", "/api/conversations").json()["id"]
    asked = house.ann.send("POST", f"/api/conversations/{made}/ask", {"question": "What?", "pipeline": "direct"})
    house.settle(house.ann, asked.json()["generation_id"], held=False)
    return a_conversation(house)


def a_comparison(house: TwoPeople) -> dict[str, str]:
    for line in house.ann.send("GET", "/api/comparisons").json()["comparisons"]:
        return {"comparison_id": line["id"], "letter": "a"}
    house.ann.send("PUT", "/api/admin/drain", {"on": False})
    sides = [{"pipeline": "direct"}, {"pipeline": "naive"}]
    house.ann.send("POST", "/api/compare", {"question": "What?", "sides": sides})
    return a_comparison(house)


def sent(case: Case, person: Person) -> httpx.Response:
    given = case.as_transport_kwargs(base_url="http://localhost")
    fields = {"content": given.get("data"), "json": given.get("json"), "headers": given.get("headers")}
    return person.send(given["method"], given["url"], params=given.get("params"), **fields)
