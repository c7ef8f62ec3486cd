"""Three real processes with an emulated camera, for tests of what holds between them."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from device.commands.relying_party import RelyingParty
from device.config import BoxConfig, Config, GatewayConfig, NotaryConfig, VisionConfig
from device.gateway.auth import add_relying_party, relying_parties_file
from device.launch import Services, private_folders
from device.vision.inference.install import State, verify
from device.vision.inference.manifest import load_manifest
from provisioning.authority import ensure_development_identity
from tests.gateway.sniffed import SniffedServices

AUDIENCE = "https://relying-party.example"
NONCE = "a-nonce-of-sixteen-or-more"


@dataclass
class Box:
    """A running box, and a relying party that may ask it."""

    services: Services
    party: RelyingParty
    config: Config
    root_pem: bytes

    def open(self) -> str:
        return self.party.open(AUDIENCE, NONCE, "demo", int(time.time()))

    def until(self, verification: str, stage: str, timeout: float = 60.0) -> dict:
        """Polls until the verification is in `stage`, or has ended."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            state = self.party.state(verification)
            if state["stage"] == stage or state["state"] not in ("running", "waiting_for_consent"):
                return state
            time.sleep(0.05)
        raise AssertionError(f"{stage} was not reached in {timeout} s: {state}")

    def finish(self, verification: str, timeout: float = 90.0) -> dict:
        return self.until(verification, "finished", timeout)

    def worker(self) -> int:
        """The process id of the worker that serves now: the vision service's oldest child."""
        service = self.services.process("vision").pid
        children = Path(f"/proc/{service}/task/{service}/children").read_text().split()
        return min(map(int, children), key=lambda pid: Path(f"/proc/{pid}").stat().st_ctime)


def box_config(parent: Path, camera: str = "emulated:standard", pace: str = "fast") -> Config:
    runtime, state = private_folders(parent)
    return Config(
        box=BoxConfig(runtime=str(runtime), state=str(state)),
        vision=VisionConfig(camera=camera, pace=pace),
        notary=NotaryConfig(issuer="urn:vouchbox:test"),
        gateway=GatewayConfig(port=0),
    )


@contextlib.contextmanager
def running_box(parent: Path, kind: type[Services] = SniffedServices, **changes):
    """A box below `parent`; its log is `parent`/services.log. Its answers are searched for images at the end."""
    config = box_config(parent, **changes)
    identity = ensure_development_identity(config.state)
    token = add_relying_party(
        relying_parties_file(config), "demo", policies=("demo",), audiences=(AUDIENCE,), name="Harbour Bank"
    )
    with (parent / "services.log").open("wb") as log, kind(config, log) as services:
        url = services.wait_ready(timeout=180)  # loading models takes its time on a busy machine
        yield Box(services, RelyingParty(url, token), config, identity.root.read_bytes())


@pytest.fixture(scope="session")
def _models():
    """Skips where the models that come from elsewhere are not installed."""
    lacking = [status.entry.name for status in verify(load_manifest()) if status.state is State.WRONG]
    if lacking:
        pytest.fail(f"models with wrong bytes: {lacking}")


@pytest.fixture(scope="module")
def box(_models, tmp_path_factory):
    with running_box(tmp_path_factory.mktemp("b")) as running:
        yield running
