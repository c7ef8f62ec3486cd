"""A relying party's side of the API, as small as it can be: open, follow, fetch. Used by `vouchbox demo` and the tests.

In: the gateway's URL and a bearer token. Out: the events of a verification and its verdict. `ApiError` carries the
problem details (RFC 9457) of a refusal.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from device.errors import VouchboxError


class ApiError(VouchboxError):
    """The gateway refused or failed; `problem` is its answer, `status` the HTTP status."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}")
        self.status = status
        self.problem = problem


@dataclass(frozen=True)
class Event:
    """One server-sent event: its name and its JSON data."""

    name: str
    data: dict[str, Any]


class RelyingParty:
    """A client with one token. Every call is its own connection."""

    def __init__(self, url: str, token: str, *, timeout: float = 60.0) -> None:
        self._target = urlsplit(url)
        self._token = token
        self._timeout = timeout

    def open(self, audience: str, nonce: str, policy: str, attested_at: int | None) -> str:
        """Opens a verification and returns its id. `attested_at`: when the person agreed, in seconds since 1970."""
        body: dict[str, Any] = {"audience": audience, "nonce": nonce, "policy": policy}
        if attested_at is not None:
            body["consent"] = {"attested_at": attested_at}
        answer = self._call("POST", "/v1/verifications", body)
        return str(json.loads(answer)["id"])

    def state(self, verification: str) -> dict[str, Any]:
        """Stage, guidance and deadline."""
        state: dict[str, Any] = json.loads(self._call("GET", f"/v1/verifications/{verification}"))
        return state

    def events(self, verification: str) -> Iterator[Event]:
        """The server-sent events, until the verification has ended or the connection does."""
        connection = self._connect()
        try:
            connection.request("GET", f"/v1/verifications/{verification}/events", headers=self._headers())
            answer = connection.getresponse()
            if answer.status >= 400:
                raise _error(answer.status, answer.read())
            yield from parse_events(line.decode() for line in answer)
        finally:
            connection.close()

    def verdict(self, verification: str) -> str:
        """The signed verdict (compact JWS)."""
        return self._call("GET", f"/v1/verifications/{verification}/verdict").decode()

    def cancel(self, verification: str) -> None:
        """Ends a verification."""
        self._call("DELETE", f"/v1/verifications/{verification}")

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        connection = self._connect()
        try:
            headers = self._headers()
            if body is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise _error(answer.status, data)
        return data

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._target.scheme == "https" else http.client.HTTPConnection
        return kind(self._target.hostname or "", self._target.port, timeout=self._timeout)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}


def parse_events(lines: Iterator[str]) -> Iterator[Event]:
    """Server-sent events (WHATWG HTML section 9.2) from lines; comments and unknown fields are passed over."""
    name, data = "message", ""
    for line in lines:
        line = line.rstrip("\r\n")
        if not line:
            if data:
                yield Event(name, json.loads(data))
            name, data = "message", ""
        elif line.startswith("event:"):
            name = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            data += line.removeprefix("data:").strip()


def _error(status: int, body: bytes) -> ApiError:
    try:
        problem = json.loads(body)
    except ValueError:
        problem = {"title": "no problem details", "detail": body[:200].decode(errors="replace")}
    return ApiError(status, problem)
