"""Ten boxes in one run: enrolled by code, upgraded with one that fails its self-test, one revoked, heads collected.

`make test-fleet`; it needs root, network namespaces and ansible-core, and is skipped without.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from device.certificates import Purpose
from device.notary.keystore.file import FileKeyStore
from device.notary.ledger import Ledger
from device.notary.policy import PACKAGED
from device.notary.verdict import sign_claims
from device.status_list import read_status_list
from device.verify import Reason, verify_verdict
from provisioning.heads import head_of_token
from tests.fleet.boxes import GATE, REPOSITORY, Fleet, do
from tests.provisioning.conftest import CAMERA, facts
from tests.verdicts import AUDIENCE, NONCE, make_claims

COUNT = int(os.environ.get("VOUCHBOX_FLEET_BOXES", "10"))
OLD, NEW = "9.0.0", "9.0.1"
ILL = max(2, COUNT - 3)
"""The box whose installed model is damaged on the disk: the old version has its own copy, the new one does not."""

pytestmark = [pytest.mark.system, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def playbook() -> str:
    if "VOUCHBOX_FLEET" not in os.environ:
        pytest.skip("run by `make test-fleet`")
    found = os.environ.get("ANSIBLE_PLAYBOOK") or shutil.which("ansible-playbook")
    if found is None:
        pytest.skip("ansible-core is not installed (extra [fleet])")
    if os.geteuid() != 0 or subprocess.run(["unshare", "-n", "true"]).returncode != 0:
        pytest.skip("network namespaces need root")
    return found


@pytest.fixture(scope="module")
def fleet(playbook: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("fleet"), [f"vbx-{number:02}" for number in range(1, COUNT + 1)])
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def authority(fleet: Fleet) -> Iterator[tuple[Path, dict[str, str]]]:
    folder = fleet.folder / "authority"
    options = ("--name", "Fleet", "--issuer", "https://org.example", "--status-uri", "https://org.example/list")
    facts("authority", "create", folder, *options)
    command = [
        sys.executable,
        "-m",
        "provisioning.cli",
        "authority",
        "serve",
        str(folder),
        "--host",
        GATE,
        "--port",
        "0",
    ]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as server:
        assert server.stdout is not None
        yield folder, json.loads(server.stdout.readline())
        server.terminate()


def signed_release(fleet: Fleet, authority: Path, version: str) -> Path:
    release = fleet.build(version)
    facts("authority", "sign-release", authority, release, "--version", version)
    return release


def first_environment(fleet: Fleet, authority: Path) -> None:
    """The version that boxes left the workshop with, made once and linked into each."""
    release = signed_release(fleet, authority, OLD)
    root = authority / "root/chain.pem"
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}:{fleet.dependencies}"}
    command = [sys.executable, "-m", "provisioning.cli", "release", "install", release, "--root", root]
    made = json.loads(do(*command, "--base", fleet.folder / "workshop", "--json", env=environment, cwd=REPOSITORY))
    models = next(Path(made["environment"]).glob("lib/python*/site-packages/models"))
    for model in (REPOSITORY / "models/installed").glob("*.tflite"):
        shutil.copy(model, models)
    for name in fleet.names:
        opt = fleet.box(name) / "opt"
        (opt / "releases" / made["name"]).symlink_to(made["environment"])
        (opt / "current").symlink_to(opt / "releases" / made["name"])


def run_playbook(
    fleet: Fleet, playbook: str, file: str, inventory: Path, **extra: object
) -> subprocess.CompletedProcess[str]:
    command = [playbook, "-i", str(inventory), str(REPOSITORY / "provisioning/fleet" / file), "-e", json.dumps(extra)]
    return subprocess.run(command, capture_output=True, text=True, env=fleet.environment)


def test_ten_boxes(fleet: Fleet, authority: tuple[Path, dict[str, str]], playbook: str) -> None:
    folder, service = authority
    first_environment(fleet, folder)

    # Ten boxes, each with a code.
    for name in fleet.names:
        fleet.provision(name, "init", "--name", name, "--keystore", "file")
        code = facts("authority", "code", folder, name)["code"]
        trust = ("--service", service["url"], "--fingerprint", service["fingerprint"])
        assert fleet.provision(name, "enrol", *trust, "--code", code)["changed"]
        fleet.inside(name, fleet.box(name) / "restart")
    ill = fleet.names[ILL - 1]
    damage(fleet.box(ill) / "state/models")
    accepted = baseline(fleet, fleet.names[0])
    inventory = fleet.inventory(accepted)
    looked = run_playbook(fleet, playbook, "health.yml", inventory, vouchbox_serial="100%")
    assert looked.returncode == 0, looked.stdout[-4000:]

    # A release that was changed after it was signed is installed nowhere.
    release = signed_release(fleet, folder, NEW)
    (release / "more.txt").write_text("not signed")
    refused = run_playbook(fleet, playbook, "rollout.yml", inventory, vouchbox_release=str(release))
    assert refused.returncode != 0
    assert "changed after it was signed" in refused.stdout
    assert {fleet.current(name).split("-")[0] for name in fleet.names} == {OLD}
    (release / "more.txt").unlink()

    # The rollout stops at the box that fails its self-test; that one is on the old version, and so are those after it.
    rolled = run_playbook(
        fleet, playbook, "rollout.yml", inventory, vouchbox_release=str(release), vouchbox_serial=[1, 2]
    )
    assert rolled.returncode != 0, rolled.stdout[-4000:]
    versions = {name: fleet.current(name).split("-")[0] for name in fleet.names}
    assert '"result":"fail"' in rolled.stdout
    first_of_batch = ILL if ILL == 1 else ILL - (ILL % 2)  # batches are box 1, boxes 2 and 3, boxes 4 and 5 …
    expected = {name: NEW if number < first_of_batch else OLD for number, name in enumerate(fleet.names, 1)}
    assert versions == expected, rolled.stdout[-6000:]
    looked = run_playbook(fleet, playbook, "health.yml", inventory, vouchbox_serial="100%")
    assert looked.returncode == 0, looked.stdout[-4000:]
    assert fleet.provision(fleet.names[0], "status")["version"] == NEW
    assert fleet.provision(ill, "status")["version"] == OLD

    # Back to the version before, by one command.
    back = run_playbook(fleet, playbook, "roll_back.yml", inventory_of(fleet, fleet.names[:1], accepted))
    assert back.returncode == 0, back.stdout[-4000:]
    assert fleet.current(fleet.names[0]).split("-")[0] == OLD

    # New policies on a sealed box: it is opened for them and sealed again, and broken ones leave it as it was.
    sealed = fleet.names[COUNT - 1]
    seal(fleet, sealed)
    policies(fleet, playbook, sealed, inventory_of(fleet, [sealed], accepted))

    # Nothing is due; heads are asked for. A revoked box's verdicts are refused, the others' are not.
    renewed = run_playbook(fleet, playbook, "renew.yml", inventory, vouchbox_serial="100%")
    assert renewed.returncode == 0, renewed.stdout[-4000:]
    heads(fleet, playbook, inventory, sealed)
    revoked(fleet, folder)


def damage(models: Path) -> None:
    """One byte of one model."""
    path = sorted(models.glob("*.tflite"))[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def baseline(fleet: Fleet, name: str) -> list[str]:
    """What fails on a healthy box of this machine: it has no camera, and nothing that sets its clock."""
    program = fleet.box(name) / "opt/current/bin/vouchbox-provision"
    line = f"{program} selftest --quick --json || true"
    ended = do(REPOSITORY / "tests/fleet/enter.sh", name, line, env=fleet.environment)
    found = json.loads(ended)
    failed = [f["name"] for f in found["findings"] if f["result"] == "fail" and not f.get("advisory")]
    assert not [finding for finding in failed if finding.startswith("models.")]
    return failed


def inventory_of(fleet: Fleet, names: list[str], accepted: list[str]) -> Path:
    return Fleet(fleet.folder, names).inventory(accepted)


def seal(fleet: Fleet, name: str) -> None:
    """A box in production: with a camera that this machine has not, which somebody answered for."""
    box = fleet.box(name)
    file = box / "config.toml"
    file.write_text(file.read_text().replace(f"emulated:{box / 'camera'}", CAMERA))
    program = box / "opt/current/bin/vouchbox-provision"
    report = json.loads(
        do(
            REPOSITORY / "tests/fleet/enter.sh",
            name,
            f"{program} selftest --quick --json || true",
            env=fleet.environment,
        )
    )
    failed = [one["name"] for one in report["findings"] if one["result"] == "fail" and not one.get("advisory")]
    do(box / "stop")
    fleet.provision(name, "seal", "--use", "research", "--yes", *(f"--accept={one}" for one in failed))
    fleet.inside(name, box / "restart")


def policies(fleet: Fleet, playbook: str, name: str, inventory: Path) -> None:
    """Rolled out to a sealed box, twice; then some that no notary would take."""
    folder = fleet.folder / "policies"
    folder.mkdir()
    text = (PACKAGED / "standard.toml").read_text()
    (folder / "standard.toml").write_text(text.replace("holding = 20", "holding = 25"))
    before = fleet.provision(name, "status")
    for _ in range(2):
        rolled = run_playbook(fleet, playbook, "policies.yml", inventory, vouchbox_policies=str(folder))
        assert rolled.returncode == 0, rolled.stdout[-4000:]
    after = fleet.provision(name, "status")
    assert after["policies"].keys() == {"standard"}  # type: ignore[attr-defined]
    assert (after["stage"], after["problems"]) == ("sealed", [])
    assert after["sealed"]["accepted"] == before["sealed"]["accepted"]  # type: ignore[index]
    outcomes = [json.loads(row)["outcome"] for row in fleet.ledger(name)]
    assert outcomes == ["sealed", "unsealed", "sealed"], "the second time nothing was opened"
    (folder / "standard.toml").write_text(text + "nonsense = true\n")
    refused = run_playbook(fleet, playbook, "policies.yml", inventory, vouchbox_policies=str(folder))
    assert refused.returncode != 0
    assert fleet.provision(name, "status")["policies"] == after["policies"]
    assert len(fleet.ledger(name)) == 3


def heads(fleet: Fleet, playbook: str, inventory: Path, name: str) -> None:
    """The sealed box has something in its ledger: its head is kept, and a ledger that was rewritten is found out."""
    kept = fleet.folder / "heads"
    for _ in range(2):
        asked = run_playbook(fleet, playbook, "heads.yml", inventory, vouchbox_heads=str(kept))
        assert asked.returncode == 0, asked.stdout[-4000:]
    newest, of_its_size = sorted((path.name for path in kept.iterdir()), key=len)
    assert (newest, of_its_size[:-16]) == (f"{name}.jwt", f"{name}-3-"), "each head is kept, once"
    assert head_of_token(kept / f"{name}.jwt").size == 3
    ledger = fleet.box(name) / "state/ledger.sqlite"
    do(fleet.box(name) / "stop")
    for left in fleet.box(name).glob("state/ledger.sqlite*"):
        left.unlink()
    Ledger(ledger).close()
    asked = run_playbook(fleet, playbook, "heads.yml", inventory, vouchbox_heads=str(kept))
    assert asked.returncode != 0
    assert "rows are missing" in asked.stdout


def revoked(fleet: Fleet, authority: Path) -> None:
    gone, kept = fleet.names[1], fleet.names[2]
    facts("authority", "revoke", authority, gone, "--reason", "stolen", "--yes")
    facts("authority", "export", authority, "--into", fleet.folder / "www")
    root = x509.load_pem_x509_certificate((fleet.folder / "www/root.pem").read_bytes())
    now = datetime.datetime.now(datetime.UTC)
    statuses, trouble = read_status_list((fleet.folder / "www/status-list.jwt").read_text(), [root], now)
    assert statuses is not None, trouble
    for name, expected in ((gone, Reason.REVOKED), (kept, None)):
        store = FileKeyStore(fleet.box(name) / "state/keys/production", Purpose.PRODUCTION)
        token = sign_claims(make_claims(), store)
        found = verify_verdict(
            token, trust=[root], expected_audience=AUDIENCE, expected_nonce=NONCE, status_list=statuses
        )
        assert found.reason is expected
