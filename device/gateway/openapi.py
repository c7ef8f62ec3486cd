"""The OpenAPI 3.1 description of the API, made from the same structs that decode and encode.

In: nothing. Out: the document as JSON bytes (`document`), served at /v1/openapi.json;
`python -m device.gateway.openapi` prints it. schemathesis holds the running gateway to it in the tests.
"""

from __future__ import annotations

import functools
import json
import sys
from typing import Any, Final

import msgspec

from device import __version__
from device.gateway import events, problems, wire
from device.gateway.limits import MAX_BODY
from device.gateway.problems import Kind

_COMPONENTS: Final = "#/components/schemas/{name}"
_ANYWHERE: Final = (Kind.RATE_LIMITED, Kind.BODY_TOO_LARGE, Kind.LENGTH_REQUIRED, Kind.MALFORMED_REQUEST, Kind.INTERNAL)
_AUTHENTICATED: Final = (*_ANYWHERE, Kind.UNAUTHENTICATED)
_NAMED: Final = (*_AUTHENTICATED, Kind.NOT_FOUND, Kind.GATEWAY_RESTARTED)
_OPENING: Final = (
    *_AUTHENTICATED,
    Kind.MALFORMED_JSON,
    Kind.IDEMPOTENCY_KEY_MALFORMED,
    Kind.POLICY_NOT_ALLOWED,
    Kind.AUDIENCE_NOT_ALLOWED,
    Kind.BUSY,
    Kind.IDEMPOTENCY_KEY_IN_USE,
    Kind.UNSUPPORTED_MEDIA_TYPE,
    Kind.INVALID_BODY,
    Kind.IDEMPOTENCY_KEY_REUSED,
    Kind.POLICY_UNKNOWN,
    Kind.CONSENT_NOT_ACCEPTED,
    Kind.CONSENT_TIME_IMPOSSIBLE,
    Kind.NOTARY_UNAVAILABLE,
    Kind.VISION_UNAVAILABLE,
    Kind.KEY_UNAVAILABLE,
    Kind.LEDGER_UNAVAILABLE,
)
_RETRY: Final = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}
_OBJECT: Final = {"type": "object"}
_ID: Final = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "As opening the verification gave it.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,80}$"},
}
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same body gives the same verification, however often it is sent.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
}


def _structs() -> dict[str, Any]:
    kinds = (
        wire.OpenRequest,
        wire.VerificationState,
        wire.ProblemDetails,
        wire.DeviceDescription,
        wire.KeySet,
        wire.HealthReport,
    )
    _, components = msgspec.json.schema_components(kinds, ref_template=_COMPONENTS)
    components["ProblemDetails"]["properties"]["type"]["enum"] = [kind.type for kind in Kind]
    return components


def _ref(kind: type) -> dict[str, Any]:
    return {"$ref": _COMPONENTS.format(name=kind.__name__)}


def _problems(kinds: tuple[Kind, ...]) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for status in sorted({kind.status for kind in kinds}):
        here = [kind for kind in kinds if kind.status == status]
        answers[str(status)] = {
            "description": "; ".join(f"`{kind.slug}`: {kind.title}" for kind in here),
            "content": {problems.MEDIA_TYPE: {"schema": _ref(wire.ProblemDetails)}},
            **({"headers": _RETRY} if status in (409, 425, 429, 503) else {}),
        }
    return answers


def _call(
    id: str, summary: str, good: dict[str, Any], kinds: tuple[Kind, ...], *, public: bool = False, **more: Any
) -> dict[str, Any]:
    return {
        "operationId": id,
        "summary": summary,
        "responses": {**good, **_problems(kinds)},
        "security": [] if public else [{"relyingParty": []}],
        **more,
    }


def _json(status: int, kind: type, description: str, **more: Any) -> dict[str, Any]:
    return {str(status): {"description": description, "content": {"application/json": {"schema": _ref(kind)}}, **more}}


def _text(media_type: str, description: str) -> dict[str, Any]:
    return {"200": {"description": description, "content": {media_type: {"schema": {"type": "string"}}}}}


def _links() -> dict[str, Any]:
    """What the id of an opened verification is good for (OpenAPI link objects)."""
    operations = ("getVerification", "watchVerification", "getVerdict", "cancelVerification")
    return {name: {"operationId": name, "parameters": {"id": "$response.body#/id"}} for name in operations}


def _verification_paths() -> dict[str, Any]:
    location = {"Location": {"description": "Of its state.", "schema": {"type": "string"}}}
    body = {"required": True, "content": {"application/json": {"schema": _ref(wire.OpenRequest)}}}
    return {
        "/v1/verifications": {
            "post": _call(
                "openVerification",
                "Open a verification of the person in front of the box",
                _json(201, wire.VerificationState, "It is open.", headers=location, links=_links()),
                _OPENING,
                requestBody=body,
                parameters=[_KEY],
            )
        },
        "/v1/verifications/{id}": {
            "parameters": [_ID],
            "get": _call(
                "getVerification", "Where it stands", _json(200, wire.VerificationState, "As of now."), _NAMED
            ),
            "delete": _call(
                "cancelVerification",
                "Cancel it; one that has ended stays as it is",
                {"204": {"description": "It is over."}},
                _NAMED,
            ),
        },
        "/v1/verifications/{id}/events": {
            "parameters": [_ID],
            "get": _call(
                "watchVerification",
                "The same, as it changes: `progress` events and one `finished`, whose data is a VerificationState",
                _text(events.MEDIA_TYPE, "Server-sent events until it has ended."),
                (*_NAMED, Kind.TOO_MANY_STREAMS),
            ),
        },
        "/v1/verifications/{id}/verdict": {
            "parameters": [_ID],
            "get": _call(
                "getVerdict",
                "The signed verdict",
                _text("application/vouchbox-verdict+jwt", "A JWS in compact form; docs/verdict.md explains it."),
                (*_NAMED, Kind.CANCELLED, Kind.ENDED_WITHOUT_VERDICT, Kind.TOO_EARLY, Kind.NOTARY_UNAVAILABLE),
            ),
        },
    }


def _device_paths() -> dict[str, Any]:
    unwell = _json(503, wire.HealthReport, "One of the three processes is unwell.")
    return {
        "/.well-known/jwks.json": {
            "get": _call(
                "getKeys",
                "The keys that verdicts of this box are signed with",
                _json(200, wire.KeySet, "RFC 7517."),
                (*_ANYWHERE, Kind.NOTARY_UNAVAILABLE),
                public=True,
            )
        },
        "/v1/device": {
            "get": _call(
                "getDevice",
                "Certificate chains, measurements of models, policies",
                _json(200, wire.DeviceDescription, "What this box is."),
                (*_ANYWHERE, Kind.NOTARY_UNAVAILABLE),
                public=True,
            )
        },
        "/healthz": {
            "get": _call(
                "getHealth",
                "Health of the three processes",
                {**_json(200, wire.HealthReport, "All three are well."), **unwell},
                _ANYWHERE,
                public=True,
            )
        },
        "/metrics": {
            "get": _call(
                "getMetrics",
                "Prometheus metrics; from another machine with the token of a party that may monitor",
                _text("text/plain", "The text format, version 0.0.4."),
                (*_ANYWHERE, Kind.UNAUTHENTICATED, Kind.NOT_AT_THE_BOX),
                public=True,
            )
        },
        "/v1/openapi.json": {
            "get": _call(
                "getOpenApi",
                "This document",
                {
                    "200": {
                        "description": "OpenAPI 3.1.",
                        "content": {"application/json": {"schema": _OBJECT}},
                    }
                },
                _ANYWHERE,
                public=True,
            )
        },
    }


@functools.cache
def document() -> bytes:
    """The whole document as JSON."""
    description = {
        "openapi": "3.1.0",
        "info": {
            "title": "Vouchbox",
            "version": __version__,
            "description": "One person, one document, one signed verdict. "
            f"No call takes or gives an image; a body is at most {MAX_BODY} bytes.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {**_verification_paths(), **_device_paths()},
        "components": {
            "schemas": _structs(),
            "securitySchemes": {"relyingParty": {"type": "http", "scheme": "bearer"}},
        },
    }
    return msgspec.json.encode(description)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(json.loads(document()), indent=2, ensure_ascii=False) + "\n")
