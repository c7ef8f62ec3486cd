"""`vouchbox demo`: three processes, an emulated (or a real) camera, one whole verification, its offline verification.

It plays the relying party: registers itself, opens a verification over HTTP, follows it, fetches the verdict and
verifies it as anyone could. Exit 0 only if the verdict is `verified` and its signature holds.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from cryptography import x509
from rich.console import Console

from device.commands.demo_view import show_stages, show_verdict
from device.commands.relying_party import Event, RelyingParty
from device.config import BoxConfig, Config, GatewayConfig, NotaryConfig, VisionConfig
from device.errors import VouchboxError
from device.gateway.auth import add_relying_party, relying_parties_file
from device.launch import Services, make_folder, private_folders
from device.verify import Verification, verify_verdict

AUDIENCE = "https://relying-party.example"
POLICY = "demo"


@dataclass
class DemoResult:
    """What came of a demo: the verdict's token, its verification, and seconds spent in each stage."""

    token: str
    verification: Verification
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def claims(self) -> dict[str, Any]:
        return self.verification.claims or {}

    @property
    def verified(self) -> bool:
        return self.verification.valid and self.claims.get("verdict") == "verified"

    def as_json(self) -> dict[str, Any]:
        """The object that DESIGN section 9 promises."""
        checks = {
            name: {"result": check["result"], "reason": check.get("reason")}
            for name, check in self.claims.get("checks", {}).items()
        }
        return {
            "verdict": self.claims.get("verdict"),
            "checks": checks,
            "token": self.token,
            "verified_offline": self.verification.valid,
            "seconds": {stage: round(spent, 2) for stage, spent in self.seconds.items()},
        }


@click.command()
@click.option("--scenario", default="standard", metavar="NAME", help="A built-in scenario or a TOML file of one.")
@click.option("--scenarios", "list_them", is_flag=True, help="List the built-in scenarios.")
@click.option(
    "--camera", metavar="N", help="A real camera instead: its number, or as in the configuration (v4l2:/dev/video0)."
)
@click.option("--fast", is_flag=True, help="Do not wait for the emulated camera's clock.")
@click.option(
    "--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep token, root and ledger in this folder."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def demo(scenario: str, list_them: bool, camera: str | None, fast: bool, keep: Path | None, as_json: bool) -> None:
    """One whole verification before an emulated (or a real) camera, and its offline verification."""
    if list_them:
        from device.vision.camera.emulation.scenario import built_in_scenarios, load_scenario

        for name in built_in_scenarios():
            click.echo(f"{name:20} {load_scenario(name).summary}")
        return
    console = Console(stderr=True, quiet=as_json)
    source = f"emulated:{scenario}" if camera is None else camera_source(camera)
    with folder(keep) as parent:
        result = run_demo(parent, VisionConfig(camera=source, pace="fast" if fast else "realtime"), console)
    if as_json:
        click.echo(json.dumps(result.as_json()))
    else:
        show_verdict(Console(), result.token, result.claims, result.verification, emulated=camera is None)
    sys.exit(0 if result.verified else 1)


def run_demo(parent: Path, vision: VisionConfig, console: Console) -> DemoResult:
    """A whole verification by three processes whose folders lie below `parent`.

    Raises:
        VouchboxError: the services did not come up, the camera cannot be opened, or no verdict was given.
    """
    config, root_pem = demo_config(parent, vision)
    token = add_relying_party(relying_parties_file(config), "demo", policies=(POLICY,), audiences=(AUDIENCE,))
    with (parent / "services.log").open("wb") as log, Services(config, log) as services:
        with console.status("starting vision, notary and gateway"):
            url = services.wait_ready()
        nonce = secrets.token_urlsafe(24)
        party = RelyingParty(url, token)
        verification = party.open(AUDIENCE, nonce, POLICY, int(time.time()))
        seconds: dict[str, float] = {}
        show_stages(console, timed(party.events(verification), seconds))
        verdict = party.verdict(verification)
    roots = x509.load_pem_x509_certificates(root_pem)
    found = verify_verdict(
        verdict,
        trust=roots,
        expected_audience=AUDIENCE,
        expected_nonce=nonce,
        allow_emulated=True,
    )
    (parent / "verdict.jwt").write_text(verdict + "\n")
    (parent / "root.pem").write_bytes(root_pem)
    return DemoResult(verdict, found, seconds)


def demo_config(parent: Path, vision: VisionConfig) -> tuple[Config, bytes]:
    """A box below `parent` with a development identity of its own, and the root that its verdicts lead to (PEM)."""
    from provisioning.authority import ensure_development_identity

    runtime, state = private_folders(parent)
    config = Config(
        box=BoxConfig(runtime=str(runtime), state=str(state)),
        vision=vision,
        notary=NotaryConfig(issuer="urn:vouchbox:demo"),
        gateway=GatewayConfig(port=0),
    )
    return config, ensure_development_identity(state).root.read_bytes()


def camera_source(argument: str) -> str:
    """`0` is the first camera of the system: V4L2 by number; `picamera2` and anything with a colon are taken as is."""
    if argument.isdecimal():
        return f"v4l2:/dev/video{argument}"
    if ":" in argument or argument == "picamera2":
        return argument
    raise click.BadParameter(
        f"{argument!r}: use a number, picamera2, v4l2:/dev/video0 or gstreamer:PIPELINE", param_hint="--camera"
    )


def timed(events: Iterator[Event], seconds: dict[str, float]) -> Iterator[Event]:
    """Passes events on and adds up the seconds between them by stage."""
    stage, since = None, time.monotonic()
    for event in events:
        now = time.monotonic()
        if stage is not None:
            seconds[stage] = seconds.get(stage, 0.0) + now - since
        stage, since = event.data.get("stage", stage), now
        yield event


@contextlib.contextmanager
def folder(keep: Path | None) -> Iterator[Path]:
    """`keep`, made if need be; or a temporary folder with a path short enough for Unix sockets."""
    if keep is not None:
        make_folder(keep)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="vouchbox-") as name:
        yield Path(name)


__all__ = ["DemoResult", "VouchboxError", "demo", "run_demo"]
