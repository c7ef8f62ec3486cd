"""What the provisioning tests share: an authority, a box, and the command as a technician types it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from device.errors import VouchboxError
from provisioning.box import BoxFolder, open_box
from provisioning.cli import provision
from provisioning.office import Office, Settings, create_office
from provisioning.selftest.report import Finding, finding, keep_report, make_report

STATUS_URI = "https://org.example/status-list"
SETTINGS = Settings(name="Test organisation", issuer="https://org.example", status_uri=STATUS_URI)
CAMERA = "v4l2:/dev/video97"
"""A live camera by its name that no test machine has: what a box without its camera looks like."""


def run(*arguments: str | Path) -> Result:
    """One command; a Vouchbox error becomes what `main` makes of it."""
    result = CliRunner().invoke(provision, [str(argument) for argument in arguments])
    if isinstance(result.exception, VouchboxError):
        result.exit_code = result.exception.exit_code
    elif result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def facts(*arguments: str | Path) -> dict[str, Any]:
    """What a command says with `--json`; it must succeed."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, f"{result.output} {result.exception}"
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


@dataclass
class Bench:
    """A box's folder and the organisation's authority, both below one temporary folder."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "etc" / "config.toml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def authority(self) -> Path:
        return self.folder / "authority"

    @property
    def request(self) -> Path:
        return self.folder / "stick" / "request.pem"

    @property
    def bundle(self) -> Path:
        return self.request.with_suffix(".bundle.json")

    @property
    def box(self) -> BoxFolder:
        return open_box(self.config)

    def run(self, *arguments: str | Path) -> Result:
        return run("--config", self.config, *arguments)

    def facts(self, *arguments: str | Path) -> dict[str, Any]:
        return facts("--config", self.config, *arguments)

    def init(self, name: str = "box-1") -> dict[str, Any]:
        options = ("--camera", CAMERA, "--keystore", "file", "--state", self.state, "--request", self.request)
        return self.facts("init", "--name", name, *options)

    def enrol(self, name: str = "box-1") -> dict[str, Any]:
        self.init(name)
        facts("authority", "issue", self.authority, self.request)
        return self.facts("enrol", "--bundle", self.bundle)

    def tested(self, *findings: Finding) -> None:
        """Leaves the report of a self-test that found this (everything well, if nothing is given)."""
        found = list(findings) or [finding("camera.present", True, "60 frames")]
        keep_report(make_report("box-1", self.box.config.vision.camera, "0", found), self.box.notes)

    def seal(self) -> dict[str, Any]:
        self.tested()
        return self.facts("seal", "--use", "research", "--yes")


@pytest.fixture(autouse=True)
def no_service_users(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine where Vouchbox is installed its users exist, and cannot see a test's folders."""
    if request.module.__name__.rsplit(".", 1)[-1] != "test_ownership":
        monkeypatch.setattr("provisioning.ownership._entry", lambda _user: None)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    create_office(made.authority, SETTINGS, None)
    return made


@pytest.fixture
def office(bench: Bench) -> Iterator[Office]:
    opened = Office(bench.authority)
    yield opened
    opened.close()
