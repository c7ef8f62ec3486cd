"""The real picamera2 in vision's unit, on libcamera's virtual camera: a whole verification; a camera that is pulled.

What the virtual camera shows is drawn on this machine by the emulated person, who hears over the API what they are
asked (`camera/stage.py`) and whose pictures take the place of the virtual camera's own (`camera/live.c`). Everything
from libcamera's buffer to the signed verdict is what runs on a box. No light fell on a sensor; the verdict says so.
"""

import shutil
import subprocess
import time

import pytest

from device.evaluation.memory import proportional
from tests.system.camera.stage import LiveStage
from tests.system.conftest import SERVICES, installed_bottle
from tests.system.rootfs import REPOSITORY
from tests.system.test_failures import open_when_free, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(1500)]

VIRTUAL = "usr/share/libcamera/pipeline/virtual"
DESCRIPTION = """%YAML 1.1
---
"VirtualBox":
  supported_formats:
  - width: 1280
    height: 720
    frame_rates: [30, 30]
  test_pattern: "bars"
  location: "CameraLocationFront"
  model: "Virtual Camera"
"""
TOTAL_MB = 280
TRIES = 3
FEWEST_PICTURES = 8
"""A second: below that the person's blinks fall between two pictures, and the camera seems to stand still."""
PICTURES = "opt/live-pictures"


@pytest.fixture(scope="module")
def box_with_a_camera(disk, bottle_folder):
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed: what stands in for the kernel's part of a camera cannot be built")
    folder = bottle_folder / "camera"
    with installed_bottle(disk, folder, camera="picamera2", number=3, properties=add_camera) as own:
        yield own


def add_camera(root):
    """The camera's description, and what stands in for the parts that this kernel lacks."""
    (root / VIRTUAL).mkdir(parents=True, exist_ok=True)
    (root / VIRTUAL / "virtual.yaml").write_text(DESCRIPTION)
    source = REPOSITORY / "tests/system/camera"
    site = next((root / "usr/local/lib").glob("python3.*/dist-packages"))
    shutil.copyfile(source / "pykms.py", site / "pykms.py")
    sources = [str(source / name) for name in ("dma_heap.c", "live.c")]
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", str(root / "opt/camera.so"), *sources, "-ldl"], check=True)
    drop_in = root / "etc/systemd/system/vouchbox-vision.service.d/camera.conf"
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text(f"[Service]\nEnvironment=LD_PRELOAD=/opt/camera.so LIVE_PICTURES=/{PICTURES}\n")


@pytest.fixture(scope="module")
def stage(box_with_a_camera):
    """One file for all tests: a worker that stands by keeps the one that was there when it started."""
    box_with_a_camera.wait_well()
    with LiveStage(box_with_a_camera.bottle.root / PICTURES) as made:
        yield made


def told_pss(box, when):
    """The three services' memory in MB, printed."""
    sizes = {service: sum(map(proportional, box.bottle.outer_pids(f"vouchbox-{service}"))) for service in SERVICES}
    told = ", ".join(f"{name} {size:.0f}" for name, size in sizes.items())
    print(f"PSS in MB with picamera2, {when}: {sum(sizes.values()):.0f}: {told}")
    return sum(sizes.values())


def test_between_people_the_box_is_light(box_with_a_camera):
    """The worker that the notary met at start leaves after ten seconds without an order; one stands by."""
    box = box_with_a_camera
    box.wait_well()
    until(lambda: len(box.bottle.cgroup_pids("vouchbox-vision")) == 2, 90, "one worker alone")
    assert told_pss(box, "between people") <= TOTAL_MB


def test_a_whole_verification_through_picamera2(box_with_a_camera, stage):
    """A drawn head that turns little is taken for a plane now and then (docs/evaluation.md): it may try again."""
    for _ in range(TRIES):
        claims, state = one_verification(box_with_a_camera, stage)
        if state["outcome"] == "verified":
            break
        box_with_a_camera.tell()
    else:
        skip_if_busy(stage)
    assert state["outcome"] == "verified"
    assert (claims["camera"], claims["dbgstat"]) == ("emulated", "enabled")


def one_verification(box, stage):
    """The verdict's claims and the state it ended in."""
    verification = open_when_free(box)
    with stage.person(box.party, verification):
        box.until(verification, "selfie")
        told_pss(box, "a person looked at and the next worker ready")
        state = box.finish(verification)
    print(f"the person was drawn {stage.rate:.0f} times a second")
    return box.judged(verification), state


def skip_if_busy(stage):
    if stage.rate < FEWEST_PICTURES:
        pytest.skip(f"this machine is too busy to draw a person in real time: {stage.rate:.1f} pictures a second")


def test_a_camera_that_is_pulled_in_mid_verification(box_with_a_camera, stage):
    box = box_with_a_camera
    verification = open_when_free(box)
    with stage.person(box.party, verification):
        reached = box.until(verification, "holding")
        if reached["stage"] != "holding":
            skip_if_busy(stage)
        stage.unplug()
        began = time.monotonic()
        state = box.finish(verification)
        print(f"camera pulled: the verification ended {time.monotonic() - began:.1f} s later")
    assert state["outcome"] == "inconclusive"
    claims = box.judged(verification)
    reasons = {check.get("reason") for check in claims["checks"].values()}
    assert "camera_lost" in reasons
    stage.plug_in()
    box.wait_well()
    verification = open_when_free(box)
    with stage.person(box.party, verification):
        assert box.until(verification, "holding")["stage"] == "holding", "the next person is looked at"
        box.party.cancel(verification)
