"""What the three processes take, models loaded, while one person is served and the spare worker stands by for the next,
and what they take between people, when the spare is the only one (`make memory` prints both).

PSS: a page that several processes share (model files are mapped read-only, libraries) counts once among them. The
camera is a folder of pictures: the emulated person's own meshes and textures are nothing that a box has.
"""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from device.evaluation.memory import children, proportional
from device.launch import Services
from tests.processes.conftest import running_box

LIMITS_MB = {"notary": 45, "gateway": 60}
TOTAL_MB = 280


def family(pid: int) -> list[int]:
    """The process and its children."""
    return [pid, *children(pid)]


def settle(service: int, timeout: float = 60.0) -> None:
    """Until the workers have loaded what they load: the one that the notary met, and the spare that followed it."""
    deadline, before = time.monotonic() + timeout, 0.0
    while time.monotonic() < deadline:
        now = sum(map(proportional, family(service)))
        if len(family(service)) == 3 and abs(now - before) < 1:
            return
        before = now
        time.sleep(2)


@pytest.fixture
def quiet_box(_models, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        cv2.imwrite(str(pictures / f"{number}.png"), np.full((720, 1280, 3), 90 + number, np.uint8))
    with running_box(tmp_path, Services, camera=f"emulated:{pictures}") as box:
        settle(box.services.process("vision").pid)
        yield box


def between_people(service: int, timeout: float = 60.0) -> None:
    """Until the worker that the notary has met has gone again: it waits ten seconds for an order."""
    deadline = time.monotonic() + timeout
    while len(family(service)) != 2:
        assert time.monotonic() < deadline, "the worker that was met is still there"
        time.sleep(0.5)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="this kernel does not tell PSS")
def test_the_three_processes_with_models_loaded(quiet_box):
    busy = measured(quiet_box, "two workers")
    between_people(quiet_box.services.process("vision").pid)
    quiet = measured(quiet_box, "one worker")
    for sizes in (busy, quiet):
        assert all(sizes[name] <= limit for name, limit in LIMITS_MB.items()), sizes
        assert sum(sizes.values()) <= TOTAL_MB, sizes


def measured(box, when: str) -> dict[str, float]:
    families = {name: family(box.services.process(name).pid) for name in ("vision", "notary", "gateway")}
    sizes = {name: sum(map(proportional, pids)) for name, pids in families.items()}
    each = ", ".join(f"{proportional(pid):.0f}" for pid in families["vision"])
    told = ", ".join(f"{name} {size:.0f}" for name, size in sizes.items())
    print(f"PSS in MB, {when}: {sum(sizes.values()):.0f}: {told} (vision: {each})")
    return sizes
