"""The real picamera2 on libcamera's virtual camera, inside vision's unit: from a buffer of libcamera's to a verdict.

The virtual camera plays pictures of a held document, and cannot follow what a person is asked. So the verdict is not
`verified`. Shown is that frames come to vision in its sandbox, that they end in a signed verdict, and that no such
camera counts as live. Open: the document is not found yet in what comes through the virtual camera.
"""

import base64
import json
import shutil
import subprocess

import cv2
import pytest

from device.config import VisionConfig
from device.protocol import Guidance, Progress, Stage
from device.vision.camera.base import open_camera
from tests.system.conftest import installed_bottle
from tests.system.rootfs import REPOSITORY

pytestmark = [pytest.mark.system, pytest.mark.timeout(1500)]

VIRTUAL = "usr/share/libcamera/pipeline/virtual"
DESCRIPTION = """%YAML 1.1
---
"VirtualBox":
  supported_formats:
  - width: 1280
    height: 720
    frame_rates: [30, 30]
  images:
    path: "/usr/share/libcamera/pipeline/virtual/frames"
    scale_mode: "fill"
  location: "CameraLocationFront"
  model: "Virtual Camera"
"""


def pictures(folder):
    """A held document, as JPEGs; each is shown for four frames."""
    config = VisionConfig(camera="emulated:standard", pace="fast")
    with open_camera(config) as camera:
        camera.prompt(Progress(stage=Stage.DOCUMENT, guidance=Guidance.SHOW_DOCUMENT, seconds_left=20))
        frames = [camera.read(5) for _ in range(90)]
    for number, frame in enumerate(frames[50::2]):
        data = cv2.imencode(".jpg", frame.image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        (folder / f"{number}.jpg").write_bytes(data.tobytes())


@pytest.fixture
def box_with_a_virtual_camera(base, stick, bottle_folder):
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed: the stand-in for /dev/dma_heap cannot be built")
    with installed_bottle(
        base, stick, bottle_folder / "camera", camera="picamera2", number=3, properties=add_camera
    ) as own:
        yield own


def add_camera(root):
    """The camera's description, its pictures, and the two files that stand in for what this kernel lacks."""
    frames = root / VIRTUAL / "frames"
    frames.mkdir(parents=True)
    (root / VIRTUAL / "virtual.yaml").write_text(DESCRIPTION)
    pictures(frames)
    source = REPOSITORY / "tests/system/camera"
    site = next((root / "usr/local/lib").glob("python3.*/dist-packages"))
    shutil.copyfile(source / "pykms.py", site / "pykms.py")
    command = [
        "gcc",
        "-shared",
        "-fPIC",
        "-O2",
        "-o",
        str(root / "opt/dma_heap.so"),
        str(source / "dma_heap.c"),
        "-ldl",
    ]
    subprocess.run(command, check=True)
    drop_in = root / "etc/systemd/system/vouchbox-vision.service.d/camera.conf"
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text("[Service]\nEnvironment=LD_PRELOAD=/opt/dma_heap.so\n")


def test_frames_come_through_picamera2_and_end_in_a_development_verdict(box_with_a_virtual_camera):
    own = box_with_a_virtual_camera
    own.wait_well()
    verification = own.open()
    state = own.finish(verification)
    body = own.party.verdict(verification).split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    print(
        "through picamera2: "
        + ", ".join(f"{name} {check['result']} {check.get('reason', '')}" for name, check in claims["checks"].items())
    )
    assert claims["camera"] == "emulated"
    assert claims["dbgstat"] == "enabled"
    assert state["outcome"] != "verified"
    reasons = {check.get("reason", "") for check in claims["checks"].values()}
    assert not any(reason.startswith("camera_") or reason == "vision_lost" for reason in reasons), reasons
