"""Bottles in which the product was installed as a technician would, from a stick, without network. That is done once in
a run; each bottle then goes on from there with an address, a certificate and a camera of its own.

Marked `system`: not part of `make test`; `make test-system` runs it. Skipped, with the reason, where whole systems
cannot be booted.
"""

import contextlib
import datetime
import importlib.util
import ipaddress
import json
import os
import shutil
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from device.commands.relying_party import RelyingParty
from device.verify import verify_verdict
from tests.system import rootfs
from tests.system.bottle import Bottle

AUDIENCE = "https://relying-party.example"
NONCE = "a-nonce-of-sixteen-or-more"
SERVICES = ("vision", "notary", "gateway")
PYTHON = "/opt/vouchbox/current/bin/python"
IDENTITY = (
    "from pathlib import Path; from provisioning.authority import ensure_development_identity as e;"
    "print(e(Path('/var/lib/vouchbox')).root.read_text())"
)
TLS = "/etc/vouchbox/tls"


class TrustingParty(RelyingParty):
    """A relying party that trusts the box's own certificate and no other."""

    def __init__(self, address: str, token: str, certificate: Path) -> None:
        super().__init__(f"https://{address}:8470", token)
        self._address = address
        self._context = ssl.create_default_context(cafile=str(certificate))

    def _connect(self) -> HTTPSConnection:
        return HTTPSConnection(self._address, 8470, timeout=60, context=self._context)


@dataclass
class Installed:
    """A box in a bottle, and the relying party that may ask it."""

    bottle: Bottle
    party: TrustingParty
    root_pem: str
    install_seconds: float

    def open(self, policy: str = "demo") -> str:
        return self.party.open(AUDIENCE, NONCE, policy, int(time.time()))

    def until(self, verification: str, stage: str, timeout: float = 90.0) -> dict:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            state = self.party.state(verification)
            if state["stage"] == stage or state["state"] not in ("running", "waiting_for_consent"):
                return state
            time.sleep(0.1)
        raise AssertionError(f"{stage} was not reached in {timeout} s: {state}")

    def finish(self, verification: str, timeout: float = 120.0) -> dict:
        return self.until(verification, "finished", timeout)

    def judged(self, verification: str) -> dict:
        """The claims of its verdict, which verifies offline; what each check said is printed."""
        verified = verify_verdict(
            self.party.verdict(verification),
            trust=x509.load_pem_x509_certificates(self.root_pem.encode()),
            expected_audience=AUDIENCE,
            expected_nonce=NONCE,
            allow_emulated=True,
        )
        assert verified.valid, verified.reason
        claims = verified.claims
        told = [f"{name} {check['result']} {check.get('reason', '')}" for name, check in claims["checks"].items()]
        print(f"{claims['verdict']}: {', '.join(told)}")
        return claims

    def verified_person(self, tries: int = 2) -> dict:
        """The claims of a whole verification. A drawn person is refused now and then, as docs/evaluation.md says, and
        may then try again."""
        for _ in range(tries):
            self.wait_well()
            verification = self.open()
            self.finish(verification)
            claims = self.judged(verification)
            if claims["verdict"] == "verified":
                break
        return claims

    def health(self) -> tuple[int, dict]:
        connection = self.party._connect()
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def wait_well(self, timeout: float = 60.0) -> float:
        """Seconds until `/healthz` says that all three are well."""
        began = time.monotonic()
        said: object = None
        while time.monotonic() - began < timeout:
            try:
                status, said = self.health()
            except (OSError, ValueError) as error:
                said = error
            else:
                if status == 200:
                    return time.monotonic() - began
            time.sleep(0.1)
        self.tell()
        raise AssertionError(f"the box was not well within {timeout} s: {said}")

    def stop(self) -> None:
        """Everything, and not only the target, which does not wait for what it takes along."""
        self.bottle.run("systemctl", "stop", "vouchbox.target", "vouchbox-*.socket", "vouchbox-*.service")

    def start(self) -> None:
        self.bottle.run("systemctl", "start", "vouchbox.target")

    def tell(self) -> None:
        """Prints what the services said, for whoever reads of a failure."""
        for service in SERVICES:
            print(self.bottle.run("systemctl", "status", "--no-pager", f"vouchbox-{service}", check=False).output)
        print(self.bottle.run("journalctl", "-b", "--no-pager", "-n", "80", "-u", "vouchbox-*", check=False).output)


@pytest.fixture(scope="session")
def base():
    """The Debian to install in."""
    if reason := rootfs.why_not():
        pytest.skip(reason)
    return rootfs.base()


@pytest.fixture(scope="session")
def stick(tmp_path_factory):
    """What the technician brings along: the checkout's installer and units, the wheels, the models."""
    folder = tmp_path_factory.mktemp("stick")
    for name in ("provisioning", "systemd", "requirements"):
        shutil.copytree(rootfs.REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(rootfs.box_wheels("3.13"), folder / "wheels")
    shutil.copytree(rootfs.REPOSITORY / "models/installed", folder / "models")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(rootfs.REPOSITORY)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@dataclass(frozen=True)
class Disk:
    """A Debian with the product installed and nothing started; nobody may change it."""

    layers: tuple[Path, ...]
    stick: Path
    install_seconds: float


@pytest.fixture(scope="session")
def disk(base, stick, bottle_folder):
    """Installed by the installer in a booted bottle."""
    folder = bottle_folder / "disk"
    with rootfs.overlay(base, folder) as root:
        bottle = Bottle(root, {"/stick": stick})
        bottle.boot()
        try:
            began = time.monotonic()
            bottle.run(*installer(stick), timeout=600)
            seconds = time.monotonic() - began
        finally:
            bottle.power_off()
    return Disk((folder / "upper", base), stick, seconds)


def installer(stick: Path) -> list[str]:
    """What the technician types."""
    wheel = next(stick.glob("vouchbox-*.whl")).name
    command = ["/stick/provisioning/install.sh", "--camera", "emulated:standard", "--no-start"]
    return [*command, "--wheels", "/stick/wheels", "--models", "/stick/models", "--wheel", f"/stick/{wheel}"]


@contextlib.contextmanager
def installed_bottle(disk: Disk, folder: Path, camera: str = "emulated:standard", number: int = 0, properties=None):
    """Boots the installed disk, makes a development identity and a relying party; off again at the end."""
    with rootfs.overlay(disk.layers, folder) as root:
        (properties or put_stage_properties)(root)
        # Not at this boot: it is not ready yet. The installer, run once more for the address, enables it again.
        (root / "etc/systemd/system/multi-user.target.wants/vouchbox.target").unlink()
        bottle = Bottle(root, {"/stick": disk.stick}, number)
        bottle.boot()
        try:
            yield make_ready(bottle, disk, folder, camera)
        finally:
            bottle.power_off()


PROPERTIES = {"skimage": ["data/astronaut.png"], "matplotlib": ["mpl-data/fonts/ttf/DejaVuSans.ttf"]}
PROPERTIES["matplotlib"].append("mpl-data/fonts/ttf/DejaVuSans-Bold.ttf")


def put_stage_properties(root: Path) -> None:
    """The pictures and fonts that the emulated person is made from; a box itself has neither of those packages."""
    site = next((root / "usr/local/lib").glob("python3.*/dist-packages"))
    for package, files in PROPERTIES.items():
        home = Path(importlib.util.find_spec(package).origin).parent
        (site / package).mkdir(exist_ok=True)
        (site / package / "__init__.py").touch()
        for file in files:
            target = site / package / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(home / file, target)


def make_ready(bottle: Bottle, disk: Disk, folder: Path, camera: str) -> Installed:
    bottle.run(*installer(disk.stick), "--listen", f"{bottle.address}:8470", timeout=300)
    bottle.run("sed", "-i", f's/^camera = .*/camera = "{camera}"/', "/etc/vouchbox/config.toml")
    root_pem = bottle.run(PYTHON, "-c", IDENTITY, user="vouchbox-notary").output
    certificate = put_tls(bottle, folder)
    token = bottle.run(
        *("vouchbox-provision", "relying-party", "add", "demo", "--policy", "demo", "--policy", "standard"),
        *("--audience", AUDIENCE, "--token-file", "/root/token"),
    )
    token = bottle.run("cat", "/root/token").output.strip()
    bottle.run("systemctl", "start", "vouchbox.target")
    return Installed(bottle, TrustingParty(bottle.address, token, certificate), root_pem, disk.install_seconds)


def put_tls(bottle: Bottle, folder: Path) -> Path:
    """A certificate for the box's address, as a technician would put it there; where this machine has it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vouchbox")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(bottle.address))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    plain = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    mine = folder / "box.pem"
    mine.write_bytes(certificate.public_bytes(encoding))
    bottle.run("install", "-d", TLS)
    for file, data in (("cert.pem", mine.read_bytes()), ("key.pem", plain)):
        bottle.run("sh", "-c", f"cat > {TLS}/{file} <<'E'\n{data.decode()}E\n")
    bottle.run("chown", "vouchbox-gateway", f"{TLS}/key.pem")
    bottle.run("chmod", "400", f"{TLS}/key.pem")
    addition = f'certificate = "{TLS}/cert.pem"\nprivate_key = "{TLS}/key.pem"\n'
    bottle.run("sh", "-c", f"cat >> /etc/vouchbox/config.toml <<'E'\n{addition}E\n")
    return mine


@pytest.fixture(scope="session")
def bottle_folder():
    """Where bottles' disks lie: not in /tmp, which may be too small and not fit for an overlay."""
    rootfs.clear_runs_cut_off()
    folder = rootfs.cache_folder() / f"run-{os.getpid()}"
    folder.mkdir(parents=True)
    yield folder
    rootfs.clear(folder)


@pytest.fixture(scope="session")
def box(disk, bottle_folder):
    """The box that most tests share."""
    with installed_bottle(disk, bottle_folder / "shared") as running:
        yield running
