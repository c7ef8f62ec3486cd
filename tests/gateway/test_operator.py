"""The operator's page: what it shows, who sees it, and that nothing on it is about anyone."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from pathlib import Path

import msgspec
import pytest

from device.channel import Channel
from device.config import BoxConfig, Config, GatewayConfig
from device.gateway import kiosk
from device.gateway.operator import read_report, sparkline
from device.gateway.tally import Tally
from device.protocol import (
    Attribute,
    Check,
    ConsentMethod,
    DocumentType,
    Ended,
    FmrLevel,
    Guidance,
    Health,
    OpenVerification,
    Outcome,
    PolicyFact,
    Reason,
    Stage,
)
from tests.gateway.conftest import AUDIENCE, Box
from tests.gateway.scripted_notary import opened, progress, send_verdict
from tests.gateway.test_server import self_signed

REPORT = {
    "time": 1_767_225_600,
    "box": "AQAB",
    "camera": "picamera2",
    "version": "0.1.0",
    "findings": [
        {
            "name": "focus",
            "result": "fail",
            "text": "The picture is soft.",
            "advice": "Turn the lens until the target is sharp.",
            "figures": {"mtf50": 0.123},
            "series": {"sharpness": [1, 3, 2, 5]},
        }
    ],
}


def page(box: Box) -> str:
    answer = box.nobody.get("/operator")
    assert answer.status == 200, answer.body[:300]
    return answer.body.decode()


def run_one(box: Box, outcome: Outcome = Outcome.REJECTED, reason: Reason | None = Reason.FACE_MISMATCH) -> None:
    def script(channel: Channel, _request: OpenVerification) -> None:
        channel.send(opened())
        for guidance in (Guidance.TOO_DARK, Guidance.SHOW_DOCUMENT, Guidance.GLARE, Guidance.HOLD_STILL):
            channel.send(progress(Stage.DOCUMENT, guidance))
        send_verdict(channel, outcome, end=False)
        channel.send(Ended(outcome, reason))

    box.notary.script = script
    location = box.caller.open().headers["Location"]
    assert box.caller.events(f"{location}/events")[-1][0] == "finished"


def test_an_idle_box(box: Box) -> None:
    html = page(box)
    for text in ("Processes", "Nobody is at the camera", "None on record", "The notary does not say", "too few yet"):
        assert text in html


def test_counts_and_courses(box: Box) -> None:
    for _ in range(3):
        run_one(box)
    run_one(box, Outcome.INCONCLUSIVE, Reason.CAMERA_FROZEN)
    html = page(box)
    assert "<dt>rejected</dt><dd>3</dd>" in html
    assert "<dt>inconclusive</dt><dd>1</dd>" in html
    assert re.search(r'<td>face_mismatch</td><td class="number">3</td>', html)
    assert "1 check ended by a fault of it" in html
    assert "In the last 4 checks" in html
    assert len(re.findall(r"<polyline points=\"[0-9. ,]+\"", html)) == 3
    assert [(it.light, it.sharpness) for it in box.service.gateway.tally.day().recent] == [(2, 1)] * 4


def test_nothing_on_it_is_about_anyone(box: Box) -> None:
    run_one(box)
    html = page(box)
    verification = box.service.gateway.verifications.newest()
    assert verification is not None
    for secret in (verification.id, verification.id.partition("-")[2], "bank", "casino", AUDIENCE):
        assert secret not in html


def test_what_is_unwell_is_said(box: Box) -> None:
    box.notary.health = Health("the disk of the ledger is full", "", 3, True)
    html = page(box)
    assert 'class="state unwell">unwell</td><td>the disk of the ledger is full' in html
    assert "A verification is running" in html


def test_policies(box: Box) -> None:
    box.notary.facts = (
        PolicyFact("standard", bytes(32), (Check.FACE_MATCH,), (DocumentType.PASSPORT,),
                   (Attribute.AGE_OVER_18,), (ConsentMethod.KIOSK,), FmrLevel.E4),
    )  # fmt: skip
    assert '<th scope="row">standard</th><td>face.match</td><td>age_over_18</td><td>kiosk</td>' in page(box)


@pytest.mark.parametrize("place", ["selftest.json", "provisioning/selftest.json"])
def test_the_last_self_test(box: Box, place: str) -> None:
    file = box.config.state / place
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(REPORT))
    html = page(box)
    for text in ("focus", "Turn the lens", "mtf50 0.123", "sharpness <svg", "picamera2"):
        assert text in html


@pytest.mark.parametrize("content", ["{", "[]", '{"time": "x"}', '{"time": 1, "findings": [{"name": 1}]}', "\xff"])
def test_a_broken_report_is_no_report(tmp_path: Path, content: str) -> None:
    (tmp_path / "selftest.json").write_text(content, encoding="latin-1")
    assert read_report(tmp_path) is None


def test_a_report_cannot_put_markup_on_the_page(box: Box) -> None:
    evil = json.loads(json.dumps(REPORT).replace("focus", "<img src=x>"))
    (box.config.state / "selftest.json").write_text(json.dumps(evil))
    assert "<img" not in page(box)


def test_the_page_of_the_self_test_is_the_one_that_the_self_test_writes() -> None:
    report = pytest.importorskip("provisioning.selftest.report")
    made = report.make_report("AQAB", "emulated", "0.1.0", [report.finding("clock", True, "set", figures={"ppm": 2.0})])
    from device.gateway.operator import Report

    assert msgspec.json.decode(msgspec.json.encode(made), type=Report).findings[0].figures == {"ppm": 2.0}


def test_it_is_for_this_machine_alone(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    assert box.nobody.call("GET", "/operator", Host="evil.example").problem == "not-at-the-box"
    monkeypatch.setattr(kiosk, "from_this_machine", lambda: False)
    for path in ("/operator", "/operator/operator.css"):
        assert box.nobody.get(path).problem == "not-at-the-box"
        assert box.caller.get(path).problem == "not-at-the-box", "a relying party is no operator"


def test_it_has_no_script_and_nothing_inline(box: Box) -> None:
    answer = box.nobody.get("/operator")
    assert "script" not in answer.body.decode()
    assert "style=" not in answer.body.decode()
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(("values", "points"), [([], 0), ([1.0], 0), ([2.0, 2.0], 2), ([1, 5, 3], 3)])
def test_a_sparkline_stays_in_its_frame(values: list[float], points: int) -> None:
    drawn = [tuple(map(float, point.split(","))) for point in sparkline(values).split()]
    assert len(drawn) == points
    assert all(0 <= x <= 160 and 0 <= y <= 32 for x, y in drawn)


def test_a_new_day_begins_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally()
    tally._outcomes["verified"] = 4
    tally._since = tally._since.replace(year=tally._since.year - 1)
    assert tally.day().outcomes == {}
    assert tally.day().since.hour == 0


class TestOverTls:
    @pytest.fixture
    def config(self, folder: Path) -> Config:
        """Operators' authority and operator in one self-signed certificate; the box's own is another."""
        certificate, key = self_signed(folder)
        operators = folder / "operators"
        operators.mkdir()
        self_signed(operators)
        return Config(
            box=BoxConfig(runtime=str(folder), state=str(folder)),
            gateway=GatewayConfig(
                port=0,
                certificate=str(certificate),
                private_key=str(key),
                operators=str(operators / "gateway.pem"),
            ),
        )

    def get(self, box: Box, folder: Path | None) -> tuple[int, bytes]:
        client = ssl.create_default_context(cafile=box.config.gateway.certificate)
        if folder is not None:
            client.load_cert_chain(folder / "gateway.pem", folder / "gateway.key")
        connection = http.client.HTTPSConnection(box.service.url.removeprefix("https://"), context=client, timeout=10)
        connection.request("GET", "/operator")
        answer = connection.getresponse()
        return answer.status, answer.read()

    def test_an_operators_certificate_opens_it_from_elsewhere(
        self, box: Box, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kiosk, "from_this_machine", lambda: False)
        assert self.get(box, folder / "operators")[0] == 200
        assert self.get(box, None)[0] == 403

    def test_a_certificate_of_somebody_else_is_refused(self, box: Box, folder: Path) -> None:
        stranger = folder / "stranger"
        stranger.mkdir()
        self_signed(stranger)
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            self.get(box, stranger)
