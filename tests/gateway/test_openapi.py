"""The running gateway is what its OpenAPI document says: schemathesis looks for the difference."""

from __future__ import annotations

import json
import secrets

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS

from device.gateway import openapi
from device.gateway.problems import Kind
from device.protocol import Progress
from tests.gateway.conftest import AUDIENCE, POLICY, Box
from tests.gateway.scripted_notary import runs_until_cancelled

schema = schemathesis.openapi.from_dict(json.loads(openapi.document()))


@schema.parametrize()
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_schemathesis_finds_nothing(case: schemathesis.Case, box: Box) -> None:
    good = case.meta is not None and case.meta.generation.mode.is_positive
    if good and isinstance(case.body, dict) and len(case.body["nonce"]) % 2:
        case.body |= {"audience": AUDIENCE, "policy": POLICY}  # half of them get past the list of what is allowed
        case.body.pop("consent", None)  # a random one may rightly lie in the future
        case.headers["Idempotency-Key"] = secrets.token_hex(16)  # the same key with another body would rightly be 422
    case.call_and_validate(
        base_url=box.service.url, headers={"Authorization": f"Bearer {box.caller.token}"}, timeout=20
    )


def test_states_are_as_described(box: Box) -> None:
    import jsonschema_rs

    described = json.loads(openapi.document())
    validator = jsonschema_rs.validator_for(
        {"$ref": "#/components/schemas/VerificationState", "components": described["components"]}
    )
    finished = box.caller.open()
    box.notary.script = runs_until_cancelled
    running = box.caller.open()
    for answer in (finished, running):
        validator.validate(answer.json)
        box.caller.call("DELETE", answer.headers["Location"])
        for _, state in box.caller.events(answer.headers["Location"] + "/events"):
            validator.validate(state)


def test_no_state_can_hold_anything_of_the_face() -> None:
    described = json.loads(openapi.document())["components"]["schemas"]
    kept_back = {"face", "pose"}
    assert kept_back <= set(Progress.__struct_fields__)
    assert not kept_back & set(described["VerificationState"]["properties"])
    assert not {"FaceBox", "HeadPose"} & set(described)


def test_the_gateway_serves_the_document(box: Box) -> None:
    assert box.nobody.get("/v1/openapi.json").body == openapi.document()


def test_every_problem_type_is_listed() -> None:
    described = json.loads(openapi.document())
    types = described["components"]["schemas"]["ProblemDetails"]["properties"]["type"]["enum"]
    assert types == [kind.type for kind in Kind]


def test_no_call_takes_anything_but_json() -> None:
    described = json.loads(openapi.document())
    bodies = [
        call["requestBody"]["content"]
        for path in described["paths"].values()
        for call in path.values()
        if "requestBody" in call
    ]
    assert [set(body) for body in bodies] == [{"application/json"}]


def test_all_checks_of_schemathesis_are_on() -> None:
    assert {"status_code_conformance", "content_type_conformance", "response_schema_conformance"} <= set(
        CHECKS.get_all_names()
    )
