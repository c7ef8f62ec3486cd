"""What crosses the wire: no image in any answer, nobody else's verification, and room for two hundred callers."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from device.gateway import openapi
from device.gateway.auth import add_relying_party, relying_parties_file
from device.gateway.limits import Limits
from tests.gateway.conftest import AUDIENCE, POLICY, Box, Caller
from tests.gateway.scripted_notary import runs_until_cancelled
from tests.gateway.sniffing import complaint

CLIENTS = 200


def calls_about_one() -> list[tuple[str, str]]:
    """Every call of the API with an id in it, as the OpenAPI document lists them."""
    paths = json.loads(openapi.document())["paths"]
    return [
        (method.upper(), path)
        for path, calls in paths.items()
        if "{id}" in path
        for method in calls
        if method in ("get", "post", "put", "patch", "delete")
    ]


@pytest.mark.parametrize(("method", "path"), calls_about_one())
@pytest.mark.parametrize("state", ["running", "finished"])
def test_another_partys_token_opens_nothing(box: Box, method: str, path: str, state: str) -> None:
    if state == "running":
        box.notary.script = runs_until_cancelled
    location = box.caller.open().headers["Location"]
    if state == "finished":
        box.caller.events(f"{location}/events")
    address = path.replace("/v1/verifications/{id}", location)
    before = box.caller.get(location).json["state"]
    other = box.other.call(method, address)
    never = box.other.call(method, path.replace("{id}", location.rpartition("/")[2][:9] + "A" * 22))
    assert (other.problem, other.body) == ("not-found", never.body), "as if it had never been"
    assert box.nobody.call(method, address).problem == "unauthenticated"
    assert box.caller.get(location).json["state"] == before


def test_the_list_above_is_not_empty() -> None:
    assert len(calls_about_one()) >= 4


class TestManyClients:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits()

    def test_all_are_answered_and_none_sees_anothers(self, box: Box) -> None:
        """How long they wait is measured by `make kiosk-proof`."""
        box.notary.script = runs_until_cancelled
        location = box.caller.open().headers["Location"]
        parties = relying_parties_file(box.config)
        others = [
            Caller(box.service.url, add_relying_party(parties, f"party{n}", policies=(POLICY,), audiences=(AUDIENCE,)))
            for n in range(8)
        ]
        gate = threading.Barrier(CLIENTS)

        def ask(number: int) -> tuple[int, str]:
            gate.wait(30)
            answer = (box.caller if number % 2 else others[number % 8]).get(location)
            return answer.status, answer.json.get("state", "")

        with ThreadPoolExecutor(CLIENTS) as pool:
            answers = list(pool.map(ask, range(CLIENTS)))
        assert set(answers[1::2]) == {(200, "running")}
        assert set(answers[::2]) == {(404, "")}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "image/png"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "application/json"),
        (b'{"image": "iVBORw0KGgoAAAANSUhEUg"}', "application/json"),
        (b'{"image": "/9j/4AAQSkZJRgABAQ"}', "application/json"),
        (b'{"image": "ffd8ffe000104a46"}', "application/json"),
        (b'{"row": [' + b"17, 230, 4, " * 22 + b"0]}", "application/json"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "text/plain"),
        (b"\x00\x00\x00\x1cftypheic", "text/plain"),
        (bytes(range(256)) * 8, "application/octet-stream"),
        (b'<svg><image href="data:image/png;base64,AAAA"/></svg>', "image/svg+xml"),
        (b"{}", "image/gif"),
    ],
)
def test_the_sniffer_smells_images(body: bytes, kind: str) -> None:
    assert complaint(kind, body)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"stage": "document"}', "application/json"),
        (b"eyJhbGciOiJFUzI1NiJ9." + b"abcDEF123-_" * 400, "application/vouchbox-verdict+jwt"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0h1"/></svg>', "image/svg+xml"),
    ],
)
def test_the_sniffer_lets_words_pass(body: bytes, kind: str) -> None:
    assert complaint(kind, body) == ""
