"""The scripted technician: from nothing to `sealed` with five commands, each typed as a technician types it, in
processes of their own; and every one of them once more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provisioning.conftest import CAMERA, SETTINGS, Bench, facts
from tests.provisioning.test_box import snapshot

BOX = "branch-12-left"


def typed(*arguments: str | Path, expected: tuple[int, ...] = (0,)) -> str:
    """One command line; its standard output."""
    command = [sys.executable, "-m", "provisioning.cli", *(str(argument) for argument in arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert ended.returncode in expected, f"{arguments}: {ended.returncode} {ended.stderr}"
    return ended.stdout


@pytest.fixture
def organisation(tmp_path: Path) -> Iterator[tuple[Bench, dict[str, str]]]:
    """The organisation's side: an authority that serves, and a code for the box."""
    bench = Bench(tmp_path)
    options = ("--name", SETTINGS.name, "--issuer", SETTINGS.issuer, "--status-uri", SETTINGS.status_uri)
    facts("authority", "create", bench.authority, *options)
    command = [sys.executable, "-m", "provisioning.cli", "authority", "serve", str(bench.authority), "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        told["code"] = facts("authority", "code", bench.authority, BOX)["code"]
        yield bench, told
        server.terminate()


def commands(bench: Bench, told: dict[str, str]) -> list[tuple[str | Path, ...]]:
    """What the technician types. This machine has no camera and nothing that sets its clock: they answer for that."""
    party = ("--policy", "standard", "--audience", "https://bank.example", "--token-file", bench.folder / "token")
    trust = ("--service", told["url"], "--fingerprint", told["fingerprint"])
    return [
        ("init", "--name", BOX, "--camera", CAMERA, "--keystore", "file", "--state", bench.state),
        ("enrol", *trust, "--code", told["code"]),
        ("relying-party", "add", "bank", *party),
        ("selftest", "--quick", "--report", bench.folder / "report.html"),
        ("seal", "--use", "research", "--yes"),
    ]


@pytest.mark.timeout(300)
def test_from_nothing_to_sealed(organisation: tuple[Bench, dict[str, str]]) -> None:
    bench, told = organisation
    began = time.monotonic()
    lines = commands(bench, told)
    assert len(lines) <= 6
    for line in lines[:-1]:
        typed("--config", bench.config, *line, expected=(0, 1) if line[0] == "selftest" else (0,))
    report = json.loads((bench.state / "provisioning" / "selftest.json").read_text())
    failed = [f["name"] for f in report["findings"] if f["result"] == "fail" and not f.get("advisory")]
    assert "camera.present" in failed
    lines[-1] += tuple(f"--accept={name}" for name in failed)
    typed("--config", bench.config, *lines[-1])
    assert time.monotonic() - began < 120
    status = json.loads(typed("--config", bench.config, "status", "--json"))
    assert (status["stage"], status["name"], status["problems"]) == ("sealed", BOX, [])
    assert sorted(status["sealed"]["accepted"]) == sorted(failed)

    before = snapshot(bench.state) | snapshot(bench.config.parent)
    for line in lines:
        typed("--config", bench.config, *line, expected=(0, 1) if line[0] == "selftest" else (0,))
    after = snapshot(bench.state) | snapshot(bench.config.parent)
    for changes in ("provisioning/selftest.json",):  # the report is of now
        before.pop(changes)
        after.pop(changes)
    assert after == before
