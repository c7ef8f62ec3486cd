"""Everything that can be taken away from a running box is taken away; it says so, recovers, and its ledger holds."""

import time

import pytest

from device.commands.relying_party import ApiError
from tests.system.conftest import PYTHON, SERVICES, installed_bottle

pytestmark = [pytest.mark.system, pytest.mark.timeout(1500)]

LEDGER = "from pathlib import Path; from device.notary.ledger import verify_ledger as v; print(v(Path('{}')))"


def intact(box) -> str:
    return box.bottle.run(PYTHON, "-c", LEDGER.format("/var/lib/vouchbox/ledger.sqlite")).output.strip()


def open_when_free(box, timeout=60.0):
    deadline = time.monotonic() + timeout
    while True:
        try:
            return box.open()
        except (ApiError, OSError) as error:
            if time.monotonic() > deadline:
                box.tell()
                raise AssertionError(f"the next verification cannot be opened: {error}") from error
            time.sleep(0.3)


def until(condition, timeout: float, what: str) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout, f"{what}: not within {timeout} s"
        time.sleep(0.3)
    return time.monotonic() - began


def finished(box) -> str:
    """The id of a verification that ran to its end; whether it verified is for the camera and the machine's speed."""
    verification = open_when_free(box)
    assert box.finish(verification)["state"] == "finished"
    return verification


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_service_is_back_by_itself(box, service):
    box.wait_well()
    unit = f"vouchbox-{service}"
    verification = open_when_free(box)
    box.until(verification, "document")
    before = box.bottle.main_pid(unit)
    box.bottle.run("kill", "-KILL", str(before))
    until(lambda: box.bottle.main_pid(unit) not in (0, before), 20, f"{service} started again")
    seconds = box.wait_well()
    print(f"{service} killed in mid-verification: well again after {seconds:.1f} s")
    assert intact(box)


def test_a_worker_that_hangs_is_ended_by_the_watchdog(box):
    box.wait_well()
    keeper = box.bottle.main_pid("vouchbox-vision")
    verification = open_when_free(box)
    box.until(verification, "document")
    workers = [pid for pid in box.bottle.cgroup_pids("vouchbox-vision") if int(pid) != keeper]
    box.bottle.run("kill", "-STOP", *workers)
    seconds = until(lambda: box.bottle.main_pid("vouchbox-vision") not in (0, keeper), 60, "the watchdog")
    print(f"hanging worker: the watchdog ended vision after {seconds:.0f} s")
    said = " ".join(str(entry["MESSAGE"]) for entry in box.bottle.journal("-u", "vouchbox-vision", "_PID=1"))
    assert "Watchdog timeout" in said
    assert box.finish(verification)["outcome"] == "inconclusive"
    box.wait_well()


def test_a_service_that_hangs_is_ended_by_the_watchdog(box):
    """Notary and gateway at once: each waits half a minute."""
    box.wait_well()
    before = {service: box.bottle.main_pid(f"vouchbox-{service}") for service in ("notary", "gateway")}
    box.bottle.run("kill", "-STOP", *map(str, before.values()))
    began = time.monotonic()
    for service, pid in before.items():
        until(lambda: box.bottle.main_pid(f"vouchbox-{service}") not in (0, pid), 60, "the watchdog")  # noqa: B023
        print(f"hanging {service}: the watchdog had ended it after {time.monotonic() - began:.0f} s")
    box.wait_well()


def test_a_full_disk_refuses_before_anybody_stands_there(box):
    small = "/var/lib/vouchbox"
    box.stop()
    box.bottle.run("sh", "-c", f"cp -a {small} /root/state && mount -t tmpfs -o size=8m,mode=1771 tmpfs {small}")
    box.bottle.run("sh", "-c", f"chgrp vouchbox-notary {small}; cd /root/state && cp -a keys ueid ledger* {small}/")
    box.bottle.run("sh", "-c", f"mkdir {small}/models && mount --bind /root/state/models {small}/models")
    try:
        box.start()
        box.wait_well()
        box.bottle.run("dd", "if=/dev/zero", f"of={small}/full", "bs=64k", check=False)
        with pytest.raises(ApiError) as refused:
            box.open()
        assert refused.value.status == 503
        assert "ledger" in refused.value.problem["type"]
        box.bottle.run("rm", f"{small}/full")
        box.wait_well()
        assert box.party.verdict(finished(box))
    finally:
        box.stop()
        box.bottle.run("umount", f"{small}/models", small)
        box.bottle.run("rm", "-rf", "/root/state")
        box.start()
        box.wait_well()


def test_a_camera_that_is_gone_is_said_and_refused(box):
    config = "/etc/vouchbox/config.toml"
    box.bottle.run("sed", "-i.kept", 's/^camera = .*/camera = "picamera2"/', config)
    try:
        box.bottle.run("systemctl", "restart", "vouchbox-vision", "vouchbox-notary")
        until(lambda: box.health()[0] == 503, 60, "unwell")
        with pytest.raises(ApiError) as refused:
            box.open()
        assert refused.value.status == 503
        assert "vision" in refused.value.problem["type"]
        assert box.bottle.state("vouchbox-vision", "StatusText") == "no worker stands by; the log says why"
    finally:
        box.bottle.run("mv", f"{config}.kept", config)
        box.bottle.run("systemctl", "restart", "vouchbox-vision", "vouchbox-notary")
        box.wait_well()


def test_a_clean_stop_ends_what_runs(box):
    verification = open_when_free(box)
    box.until(verification, "document")
    began = time.monotonic()
    box.stop()
    print(f"stopped in mid-verification in {time.monotonic() - began:.1f} s")
    for service in SERVICES:
        assert box.bottle.state(f"vouchbox-{service}", "Result") == "success", service
    assert intact(box)
    box.start()
    box.wait_well()


@pytest.fixture(scope="module")
def own(disk, bottle_folder):
    """A box for what no other test would survive: its plug is pulled, then it is taken off its machine."""
    with installed_bottle(disk, bottle_folder / "own", number=1) as running:
        yield running


def test_a_plug_pulled_in_mid_verification_leaves_the_ledger_whole(own):
    own.wait_well()
    ended = open_when_free(own)
    own.until(ended, "document")
    own.party.cancel(ended)
    assert own.finish(ended)["state"] == "cancelled"
    verification = open_when_free(own)
    own.until(verification, "holding")
    own.bottle.pull_the_plug()
    own.bottle.boot()
    seconds = own.wait_well()
    print(f"booted in {own.bottle.boot_seconds:.1f} s, well {seconds:.1f} s later")
    assert intact(own)
    with pytest.raises(ApiError) as gone:
        own.party.state(verification)
    assert gone.value.status == 410
    finished(own)


def test_uninstalling_leaves_ledger_and_keys_unless_told_to_wipe(own):
    own.wait_well()
    own.bottle.run("/stick/provisioning/install.sh", "uninstall")
    left = own.bottle.run("find", "/opt/vouchbox", "/etc/systemd/system", "-name", "*vouchbox*", check=False).output
    assert left == ""
    own.bottle.run("test", "-s", "/var/lib/vouchbox/ledger.sqlite")
    own.bottle.run("test", "-s", "/var/lib/vouchbox/keys/development/key.pem")
    own.bottle.run("/stick/provisioning/install.sh", "uninstall", "--wipe")
    for gone in ("/var/lib/vouchbox", "/etc/vouchbox"):
        assert own.bottle.run("test", "-e", gone, check=False).code != 0
    assert "vouchbox" not in own.bottle.run("cat", "/etc/passwd").output
