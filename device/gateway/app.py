"""The Flask application: what is true of every call, whichever it is.

In: a `Gateway` (everything that calls share). Out: a WSGI application in which every error is a problem detail, every
answer has the security headers, every address is held to its rate and every body to its limit.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from device.config import Config
from device.gateway import problems
from device.gateway.auth import RelyingParties, RelyingParty, relying_parties_file
from device.gateway.events import Streams
from device.gateway.limits import MAX_BODY, Buckets, Limits, address_key, is_loopback
from device.gateway.metrics import Metrics
from device.gateway.notary import NotaryClient
from device.gateway.problems import Kind, Problem
from device.gateway.snapshot import Snapshot
from device.gateway.table import IdempotencyKeys, Verifications
from device.gateway.tally import Tally
from device.gateway.verifications import Verification

log = logging.getLogger(__name__)

SECURITY_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
TRANSPORT_SECURITY: Final = "max-age=31536000"


@dataclass
class Gateway:
    """What the calls share."""

    config: Config
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.notary = NotaryClient(self.config.notary_socket)
        self.parties = RelyingParties(relying_parties_file(self.config))
        self.metrics = Metrics()
        self.tally = Tally()
        self.verifications = Verifications(self.notary, self.limits, self._changed)
        self.idempotency = IdempotencyKeys(self.limits)
        self.streams = Streams(self.limits)
        self.by_address = Buckets(self.limits.address, "requests from this address")
        self.by_party = Buckets(self.limits.party, "requests with this token")
        self.by_opening = Buckets(self.limits.opening, "verifications asked for with this token")
        self.by_refusal = Buckets(self.limits.refused, "requests without a valid token from this address")

    def _changed(self, verification: Verification, old: Snapshot, new: Snapshot) -> None:
        self.metrics.changed(verification, old, new)
        self.tally.changed(verification, old, new)

    def close(self) -> None:
        """Ends the streams and cancels what is running."""
        self.streams.stop()
        self.verifications.close()

    def authenticate(self) -> RelyingParty:
        """The relying party whose token the present request bears. Raises `Problem`."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        party = self.parties.authenticate(token.strip()) if scheme.lower() == "bearer" else None
        if party is None:
            self.by_refusal.take(address_key(request.remote_addr or ""))
            raise Problem(
                Kind.UNAUTHENTICATED,
                "Send `Authorization: Bearer <token>` with the token that registering gave.",
                headers={"WWW-Authenticate": 'Bearer realm="vouchbox"'},
            )
        self.by_party.take(party.id)
        return party


def json_answer(value: object, status: int = 200, **headers: str) -> Response:
    """A struct as JSON."""
    return Response(msgspec.json.encode(value), status, headers, mimetype="application/json")


def from_this_machine() -> bool:
    """Whether the caller sits on the box itself."""
    return is_loopback(request.remote_addr or "")


def create_app(gateway: Gateway) -> Flask:
    """The application, with every call."""
    from device.gateway import api, kiosk, operator

    app = Flask("device.gateway", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.redirect_defaults = False
    app.url_map.merge_slashes = False
    app.register_blueprint(api.blueprint(gateway))
    app.register_blueprint(kiosk.blueprint(gateway))
    app.register_blueprint(operator.blueprint(gateway))

    @app.before_request
    def limit_address() -> None:
        g.began = time.monotonic()
        gateway.by_address.take(address_key(request.remote_addr or ""))
        if (request.content_length or 0) > MAX_BODY:
            raise Problem(Kind.BODY_TOO_LARGE, f"At most {MAX_BODY} bytes; no call takes a file or an image.")

    @app.after_request
    def finish(response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        if request.is_secure:
            response.headers["Strict-Transport-Security"] = TRANSPORT_SECURITY
        if not response.is_streamed:
            call = str(request.url_rule) if request.url_rule else "unknown"
            gateway.metrics.answered(call, response.status_code, time.monotonic() - g.began)
        return response

    _handle_errors(app)
    return app


def _handle_errors(app: Flask) -> None:
    @app.errorhandler(Problem)
    def problem(error: Problem) -> Response:
        return Response(error.body(), error.kind.status, error.headers, mimetype=problems.MEDIA_TYPE)

    @app.errorhandler(HTTPException)
    def framework(error: HTTPException) -> Response:
        status = error.code or 500
        headers: dict[str, Any] = {}
        if status == 405:
            headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        detail = {
            404: "No such address; /v1/openapi.json lists what there is.",
            405: f"This address takes {headers.get('Allow', '')}.",
            413: f"At most {MAX_BODY} bytes; no call takes a file or an image.",
        }.get(status, error.description or error.name)
        return problem(problems.for_status(status, detail, headers))

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        log.error("%s %s broke", request.method, request.url_rule, exc_info=error)
        return problem(Problem(Kind.INTERNAL, "The box's log says more.", part="gateway"))
