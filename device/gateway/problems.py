"""Every error that the gateway can answer with, as an RFC 9457 problem detail with a stable `type`.

In: a `Kind` from the catalogue below, and a sentence about this occurrence. Out: `Problem`, an exception that the
application turns into an `application/problem+json` answer. The types are URNs: they name a problem, they are never
fetched, and they never change their meaning.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

import msgspec

MEDIA_TYPE: Final = "application/problem+json"
PREFIX: Final = "urn:vouchbox:problem:"


class Kind(enum.Enum):
    """The catalogue: name, HTTP status, title. The title is the same for every occurrence."""

    MALFORMED_REQUEST = ("malformed-request", 400, "The request is not well-formed HTTP")
    MALFORMED_JSON = ("malformed-json", 400, "The body is not JSON")
    IDEMPOTENCY_KEY_MALFORMED = ("idempotency-key-malformed", 400, "The Idempotency-Key is not usable")
    UNAUTHENTICATED = ("unauthenticated", 401, "No valid bearer token of a registered relying party")
    POLICY_NOT_ALLOWED = ("policy-not-allowed", 403, "This relying party may not use this policy")
    AUDIENCE_NOT_ALLOWED = ("audience-not-allowed", 403, "This relying party may not ask for this audience")
    NOT_AT_THE_BOX = ("not-at-the-box", 403, "Only the browser on the box itself may do this")
    NOT_FOUND = ("not-found", 404, "There is nothing here")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "This address does not take this method")
    REQUEST_TIMEOUT = ("request-timeout", 408, "The request did not arrive in time")
    BUSY = ("busy", 409, "Another person is at the camera")
    IDEMPOTENCY_KEY_IN_USE = ("idempotency-key-in-use", 409, "The first request with this key is still being answered")
    GATEWAY_RESTARTED = ("gateway-restarted", 410, "The gateway was restarted and this verification is gone")
    CANCELLED = ("cancelled", 410, "The verification was cancelled")
    ENDED_WITHOUT_VERDICT = ("ended-without-verdict", 410, "The verification ended and there is no verdict")
    LENGTH_REQUIRED = ("length-required", 411, "A body needs a Content-Length")
    BODY_TOO_LARGE = ("body-too-large", 413, "The body is too large")
    URI_TOO_LONG = ("uri-too-long", 414, "The address is too long")
    UNSUPPORTED_MEDIA_TYPE = ("unsupported-media-type", 415, "The body is of a kind that is not taken")
    INVALID_BODY = ("invalid-body", 422, "The body is JSON, but not what is asked for")
    IDEMPOTENCY_KEY_REUSED = ("idempotency-key-reused", 422, "This key was used with another body")
    POLICY_UNKNOWN = ("policy-unknown", 422, "This box has no such policy")
    CONSENT_NOT_ACCEPTED = ("consent-not-accepted", 422, "The policy does not take this kind of consent")
    CONSENT_TIME_IMPOSSIBLE = ("consent-time-impossible", 422, "The attested consent lies in the future")
    TOO_EARLY = ("too-early", 425, "The verification is still running")
    RATE_LIMITED = ("rate-limited", 429, "Too many requests")
    TOO_MANY_STREAMS = ("too-many-streams", 429, "Too many open event streams")
    HEADERS_TOO_LARGE = ("headers-too-large", 431, "The header fields are too large")
    INTERNAL = ("internal", 500, "Something went wrong in the gateway")
    NOTARY_UNAVAILABLE = ("notary-unavailable", 503, "The notary process does not answer")
    VISION_UNAVAILABLE = ("vision-unavailable", 503, "The vision process is not ready")
    KEY_UNAVAILABLE = ("key-unavailable", 503, "The signing key cannot be used")
    LEDGER_UNAVAILABLE = ("ledger-unavailable", 503, "The ledger cannot be written")
    HTTP_VERSION = ("http-version", 505, "HTTP/1.1 is spoken here")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title

    @property
    def type(self) -> str:
        """The stable URI."""
        return PREFIX + self.slug


class Problem(Exception):
    """Raised anywhere while a request is answered.

    Args:
        kind: the entry of the catalogue.
        detail: what is wrong this time and what to do about it; never anything about the person.
        retry_after: seconds, for the `Retry-After` header.
        headers: further header fields of the answer.
        part, reason: extension members (RFC 9457 section 3.2): the process at fault; why a verification ended.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        part: str | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.members = {name: value for name, value in (("part", part), ("reason", reason)) if value is not None}
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, retry_after))

    def document(self) -> dict[str, Any]:
        """The members of the JSON object."""
        return {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            **self.members,
        }

    def body(self) -> bytes:
        """The JSON object as bytes."""
        return msgspec.json.encode(self.document())


BY_STATUS: Final[dict[int, Kind]] = {
    400: Kind.MALFORMED_REQUEST,
    404: Kind.NOT_FOUND,
    405: Kind.METHOD_NOT_ALLOWED,
    408: Kind.REQUEST_TIMEOUT,
    411: Kind.LENGTH_REQUIRED,
    413: Kind.BODY_TOO_LARGE,
    414: Kind.URI_TOO_LONG,
    415: Kind.UNSUPPORTED_MEDIA_TYPE,
    431: Kind.HEADERS_TOO_LARGE,
    505: Kind.HTTP_VERSION,
}
"""The kind for errors that the HTTP server or the framework finds before a handler of ours runs."""


def for_status(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Problem:
    """A problem for a bare HTTP status; any other 4xx is a malformed request, anything else is ours."""
    kind = BY_STATUS.get(status) or (Kind.MALFORMED_REQUEST if 400 <= status < 500 else Kind.INTERNAL)
    return Problem(kind, detail, headers=headers)
