"""A real gateway on a real port beside a scripted notary on a real Unix socket."""

from __future__ import annotations

import http.client
import json
import secrets
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from device.config import BoxConfig, Config, GatewayConfig
from device.gateway.auth import add_relying_party, relying_parties_file
from device.gateway.limits import Limits, Rate
from device.gateway.service import Service
from tests.gateway.scripted_notary import ScriptedNotary
from tests.gateway.sniffing import Sniffer

POLICY = "standard"
AUDIENCE = "https://relying-party.example"
ROOMY = Limits(
    address=Rate(1e6, 10**6),
    party=Rate(1e6, 10**6),
    opening=Rate(1e6, 10**6),
    refused=Rate(1e6, 10**6),
    heartbeat_seconds=0.2,
)


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> str:
        """The name of the problem, after checking that it is one as RFC 9457 says."""
        assert self.headers["Content-Type"] == "application/problem+json", (self.status, self.body)
        document = self.json
        assert document["status"] == self.status
        assert document["title"]
        assert document["detail"]
        return str(document["type"]).removeprefix("urn:vouchbox:problem:")


@dataclass
class Caller:
    """Somebody with one token (or none) who calls one gateway."""

    url: str
    token: str | None

    def connect(self, timeout: float = 20) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=timeout)

    def headers(self, **more: str) -> dict[str, str]:
        bearer = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {**bearer, **{name.replace("_", "-"): value for name, value in more.items()}}

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = self.connect()
        try:
            connection.request(method, path, body, self.headers(**headers))
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.call("GET", path)

    def post(self, document: Any, **headers: str) -> Answer:
        data = json.dumps(document).encode()
        return self.call("POST", "/v1/verifications", data, **{"Content_Type": "application/json", **headers})

    def open(self, **changes: Any) -> Answer:
        return self.post(request(**changes))

    def events(self, path: str) -> list[tuple[str, Any]]:
        """Every event of a stream, until it ends; comments are named ':'."""
        raw = self.get(path).body.decode()
        found = []
        for block in filter(None, raw.split("\n\n")):
            if block.startswith(":"):
                found.append((":", None))
                continue
            fields = dict(line.split(": ", 1) for line in block.splitlines())
            found.append((fields["event"], json.loads(fields["data"])))
        return found


def request(**changes: Any) -> dict[str, Any]:
    document = {"audience": AUDIENCE, "nonce": secrets.token_urlsafe(24), "policy": POLICY, **changes}
    return {key: value for key, value in document.items() if value is not None}


@dataclass
class Box:
    config: Config
    service: Service
    notary: ScriptedNotary
    caller: Caller
    other: Caller

    @property
    def nobody(self) -> Caller:
        return Caller(self.service.url, None)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for the path of a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="vbx") as name:
        yield Path(name)


@pytest.fixture
def limits() -> Limits:
    return ROOMY


@pytest.fixture
def config(folder: Path) -> Config:
    return Config(box=BoxConfig(runtime=str(folder), state=str(folder)), gateway=GatewayConfig(port=0))


@contextmanager
def gateway_beside_a_script(config: Config, limits: Limits = ROOMY, name: str = "") -> Iterator[Box]:
    """A running gateway; `name` is what the person is told that the first relying party is called. No answer that it
    gave may have held an image."""
    notary = ScriptedNotary(config.notary_socket)
    parties = relying_parties_file(config)
    tokens = [
        add_relying_party(parties, id, name=name, policies=(POLICY,), audiences=(AUDIENCE,))
        for id in ("bank", "casino")
    ]
    service = Service(config, limits)
    sniffer = service._server.wsgi_app = Sniffer(service._server.wsgi_app)
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        yield Box(config, service, notary, Caller(service.url, tokens[0]), Caller(service.url, tokens[1]))
    finally:
        service.stop()
        thread.join(timeout=10)
        notary.stop()
    assert not thread.is_alive(), "the gateway did not stop"
    assert sniffer.found == [], "no answer ever holds an image"


@pytest.fixture
def box(config: Config, limits: Limits) -> Iterator[Box]:
    with gateway_beside_a_script(config, limits) as box:
        yield box
