"""The operator's page: how the box fares, and nothing about anyone.

In: requests from the box itself, or over mutual TLS with a certificate of the operators' authority. Out: one page, made
on the server, without script: the three processes, today's counts, the camera, the last self-test, the policies.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from flask import Blueprint, Response, render_template, request, send_from_directory

from device import __version__
from device.gateway.app import Gateway
from device.gateway.describe import health_report
from device.gateway.kiosk import STATIC, guard_reader
from device.gateway.problems import Problem
from device.protocol import PolicyFact, Result

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
OVER_TLS: Final = "SSL_CLIENT_VERIFY"
SELF_TESTS: Final = ("selftest.json", "provisioning/selftest.json")
MAX_REPORT: Final = 1024 * 1024
MAX_SERIES: Final = 6


class Finding(msgspec.Struct, frozen=True):
    """As much of a self-test's finding as the page shows."""

    name: str
    result: Result
    text: str = ""
    advice: str = ""
    advisory: bool = False
    figures: dict[str, float] = {}
    series: dict[str, list[float]] = {}


class Report(msgspec.Struct, frozen=True):
    """The self-test's report; what else is in the file is passed over."""

    time: int
    findings: tuple[Finding, ...]
    camera: str = ""

    @property
    def when(self) -> str:
        return datetime.datetime.fromtimestamp(self.time).astimezone().strftime("%Y-%m-%d %H:%M")


def read_report(state: Path) -> Report | None:
    """The last self-test, if there is one that this process may read and that is one."""
    for name in SELF_TESTS:
        try:
            with (state / name).open("rb") as file:
                return msgspec.json.decode(file.read(MAX_REPORT), type=Report)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            continue
    return None


def sparkline(values: Sequence[float], width: int = 160, height: int = 32) -> str:
    """The points of an SVG polyline over `values`, the least at the bottom; empty for fewer than two."""
    if len(values) < 2:
        return ""
    least, span = min(values), (max(values) - min(values)) or 1.0
    step = (width - 4) / (len(values) - 1)
    points = [(2 + at * step, height - 3 - (value - least) / span * (height - 6)) for at, value in enumerate(values)]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def guard_operator() -> None:
    """The caller is at the box, or has shown an operator's certificate. Raises `Problem`."""
    if request.environ.get(OVER_TLS) != "SUCCESS":
        guard_reader()


def blueprint(gateway: Gateway) -> Blueprint:
    """The page."""
    calls = Blueprint("operator", __name__, template_folder="templates")

    @calls.get("/operator")
    def page() -> Response:
        guard_operator()
        day = gateway.tally.day()
        lines = {
            "Seconds a check": [each.seconds for each in day.recent],
            "Told of light": [float(each.light) for each in day.recent],
            "Told to hold still or flat": [float(each.sharpness) for each in day.recent],
        }
        html = render_template(
            "operator.html",
            version=__version__,
            health=health_report(gateway.notary, gateway.parties, details=True),
            day=day,
            lines=lines,
            report=read_report(gateway.config.state),
            camera=gateway.config.vision.camera,
            policies=_policies(gateway),
            sparkline=sparkline,
            max_series=MAX_SERIES,
        )
        return Response(html, mimetype="text/html", headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})

    @calls.get("/operator/operator.css")
    def style() -> Response:
        guard_operator()
        return send_from_directory(STATIC, "operator.css", mimetype="text/css", etag=False, max_age=None)

    return calls


def _policies(gateway: Gateway) -> tuple[PolicyFact, ...]:
    try:
        return gateway.notary.facts().policies
    except Problem:
        return ()
