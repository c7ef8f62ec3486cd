"""Canary frames in a box: after a verification whose frames carried a known pattern, the box has none of it.

Looked at: every file on the bottle's writable disk and in its /run, the journal, the ledger, the memory of every
process of the three services that lives on. The embeddings that the worker computed are read out of its memory while it
works, since the unit can write nowhere; then they are looked for as the pattern is.
"""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from tests import canary
from tests.system.conftest import SERVICES
from tests.system.rootfs import REPOSITORY
from tests.system.test_failures import open_when_free

pytestmark = [pytest.mark.system, pytest.mark.timeout(1500)]

DROP_IN = "/run/systemd/system/vouchbox-vision.service.d/canary.conf"
PLACE = "opt/vouchbox/canary"
PERSON = {"ERIKSSON": b"ERIKSSON", "ANNA MARIA": b"ANNA MARIA"}


@pytest.fixture
def stamped(box):
    """The box, with every second frame's corner stamped by the spy."""
    patch = canary.make_patch()
    place = box.bottle.root / PLACE
    shutil.copytree(REPOSITORY / "tests/spy", place)
    (place / "patch.bin").write_bytes(patch.tobytes())
    box.bottle.run("mkdir", "-p", str(Path(DROP_IN).parent))
    setting = f"[Service]\nEnvironment=PYTHONPATH=/{PLACE} VOUCHBOX_CANARY=/{PLACE}\n"
    box.bottle.run("sh", "-c", f"printf '{setting}' > {DROP_IN}; systemctl daemon-reload")
    box.bottle.run("systemctl", "restart", "vouchbox-vision")
    box.wait_well()
    yield box, patch
    box.bottle.run("rm", DROP_IN)
    box.bottle.run("systemctl", "daemon-reload")
    box.bottle.run("systemctl", "restart", "vouchbox-vision")
    shutil.rmtree(place, ignore_errors=True)


def test_a_box_keeps_nothing_of_what_it_saw(stamped):
    box, patch = stamped
    verification = open_when_free(box)
    seen, embeddings = False, {}
    while box.party.state(verification)["state"] == "running":
        pids = box.bottle.outer_pids("vouchbox-vision")
        seen = seen or canary.glimpsed(pids, patch)
        embeddings |= canary.noted_embeddings(pids)
        time.sleep(0.1)
    assert seen, "the search did not see the pattern where it surely was: in the worker, while it worked"
    assert len(embeddings) >= 3, "the worker computed no embedding, so none could be looked for"
    chosen = np.stack(list(embeddings.values()))[np.linspace(0, len(embeddings) - 1, 6).astype(int)]
    needles = canary.pixel_needles(patch) | canary.compressed_needles(patch) | canary.embedding_needles(chosen)
    box.party.verdict(verification)
    time.sleep(2)  # the worker ends

    shutil.rmtree(box.bottle.root / PLACE)  # the test's own copy of the pattern
    pids = [pid for service in SERVICES for pid in box.bottle.outer_pids(f"vouchbox-{service}")]
    assert len(pids) >= 4
    assert canary.in_memory(pids, needles) == {}
    upper = box.bottle.root.parent / "upper"
    inner = Path(f"/proc/{box.bottle.leader}/root")
    places = [
        upper / "var",
        upper / "etc",
        upper / "root",
        upper / "tmp",
        inner / "run",
        inner / "tmp",
        inner / "dev/shm",
    ]
    places = [place for place in places if place.is_dir()]
    files = sum(1 for place in places for _ in place.rglob("*"))
    print(f"{len(embeddings)} embeddings; {len(pids)} processes, {files} files, {len(needles)} needles")
    assert canary.in_files(places, needles | PERSON) == {}
    journal = box.bottle.run("journalctl", "--output=export", "--no-pager").output.encode()
    assert canary.found_in(journal, needles | PERSON) == set()
    cores = [path for path in (upper / "var").rglob("*core*") if path.is_file() and "coredump" in str(path)]
    assert cores == []
