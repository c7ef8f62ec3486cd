"""Canary frames: a whole verification whose frames carry a known pattern; afterwards it is nowhere.

Looked at: every byte that crossed either socket and the API, every file, and the live memory of notary, gateway, the
vision service and the spare worker. The worker that saw the frames is looked at too, while it runs: there the
pattern and the embeddings are found, so that the search is known to see what it looks for.
"""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pytest

from device.commands.relying_party import RelyingParty
from device.config import write_config
from device.gateway.auth import add_relying_party, relying_parties_file
from provisioning.authority import ensure_development_identity
from tests import canary
from tests.processes.conftest import AUDIENCE, NONCE, box_config
from tests.processes.relay import Relay

SPY = Path(__file__).resolve().parents[1] / "spy"
EMBEDDING_BYTES = 4 * 256
PERSON = (b"ERIKSSON", b"ANNA MARIA", b"ANNA<MARIA")
"""What is printed on the emulated document and was not asked for."""


class Listening(RelyingParty):
    """A relying party that keeps what it was told."""

    heard: list[bytes]

    def _call(self, method, path, body=None):
        answer = super()._call(method, path, body)
        self.__dict__.setdefault("heard", []).append(answer)
        return answer


class Rooms:
    """The three services, each with a runtime folder of its own, and relays between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = box_config(folder)
        ensure_development_identity(self.config.state)
        self.token = add_relying_party(
            relying_parties_file(self.config), "demo", policies=("demo",), audiences=(AUDIENCE,)
        )
        (folder / "canary").mkdir()
        self.patch = canary.make_patch()
        (folder / "canary/patch.bin").write_bytes(self.patch.tobytes())
        self.log = (folder / "services.log").open("wb")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        runtimes = {name: folder / name for name in ("vision", "notary", "gateway")}
        for name, runtime in runtimes.items():
            runtime.mkdir(mode=0o700)
            self._start(name, runtime)
        self.relays = [
            Relay(runtimes["notary"] / "vision.sock", runtimes["vision"] / "vision.sock"),
            Relay(runtimes["gateway"] / "notary.sock", runtimes["notary"] / "notary.sock"),
        ]

    def _start(self, name: str, runtime: Path) -> None:
        box = msgspec.structs.replace(self.config.box, runtime=str(runtime))
        write_config(msgspec.structs.replace(self.config, box=box), runtime / "config.toml")
        variables = {**os.environ, "TMPDIR": str(self.folder / "run")}
        if name == "vision":
            variables |= {"VOUCHBOX_CANARY": str(self.folder / "canary"), "PYTHONPATH": str(SPY)}
        command = [sys.executable, "-m", f"device.{name}.service", f"--config={runtime / 'config.toml'}"]
        self.processes[name] = subprocess.Popen(command, env=variables, stderr=self.log)

    def wait_ready(self) -> Listening:
        announcement = self.folder / "gateway/gateway.json"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                url = json.loads(announcement.read_text())["url"]
                connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
                connection.request("GET", "/healthz")
                if connection.getresponse().status == 200:
                    return Listening(url, self.token)
            time.sleep(0.1)
        raise AssertionError(f"not ready: {(self.folder / 'services.log').read_text()[-2000:]}")

    def workers(self) -> set[int]:
        service = self.processes["vision"].pid
        return {int(word) for word in Path(f"/proc/{service}/task/{service}/children").read_text().split()}

    def embeddings(self) -> np.ndarray:
        path = self.folder / "canary/embeddings.bin"
        data = path.read_bytes() if path.exists() else b""
        usable = len(data) // EMBEDDING_BYTES * EMBEDDING_BYTES
        return np.frombuffer(data[:usable], "<f4").reshape(-1, EMBEDDING_BYTES // 4)

    def close(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(20)
        for relay in self.relays:
            relay.close()
        self.log.close()


@pytest.fixture
def rooms(_models, tmp_path):
    running = Rooms(tmp_path)
    yield running
    running.close()


@pytest.mark.timeout(600)
def test_nothing_of_the_frames_is_left_anywhere(rooms):
    party = rooms.wait_ready()
    pixels = canary.pixel_needles(rooms.patch) | canary.compressed_needles(rooms.patch)
    before = rooms.workers()
    verification = party.open(AUDIENCE, NONCE, "demo", int(time.time()))
    deadline = time.monotonic() + 180
    seen_in_worker = False
    # In a process of its own: a search through memory would hold up the relays' threads here.
    with ProcessPoolExecutor(1, get_context("spawn")) as watcher:
        look = watcher.submit(canary.glimpsed, rooms.workers() & before, rooms.patch)
        while party.state(verification)["state"] == "running" and time.monotonic() < deadline:
            time.sleep(0.2)
            if look.done() and not seen_in_worker:
                seen_in_worker = look.result()
                look = watcher.submit(canary.glimpsed, rooms.workers() & before, rooms.patch)
        seen_in_worker = seen_in_worker or look.result()  # on a busy machine one look lasts as long as the stages
    state = party.state(verification)
    party.verdict(verification)
    # What the patch does to the checks is not the question; that the whole course was run is.
    print(f"outcome {state['outcome']}, {len(rooms.embeddings())} embeddings")
    assert state["state"] == "finished", state
    assert seen_in_worker, "the search did not see the pattern where it surely was"

    while len(rooms.workers()) != 1 and time.monotonic() < deadline:
        time.sleep(0.1)  # until the worker that saw the frames is gone and the spare stands alone
    vectors = rooms.embeddings()
    assert len(vectors) >= 3, "no embedding was computed, so none could be looked for"
    chosen = vectors[np.linspace(0, len(vectors) - 1, 6).astype(int)]
    needles = pixels | canary.embedding_needles(chosen)
    persons = {text.decode(): text for text in PERSON}

    alive = {name: process.pid for name, process in rooms.processes.items()}
    pids = [*alive.values(), *rooms.workers()]
    assert len(pids) >= 4, "the spare worker stands by"
    assert canary.in_memory(pids, needles) == {}
    assert canary.in_memory([alive["gateway"]], persons) == {}
    said = [b"".join(relay.said) for relay in rooms.relays] + [b"".join(party.heard)]
    print(f"on the sockets: {[len(data) for data in said]} bytes; {len(needles)} needles, {len(pids)} processes")
    for data in said:
        assert canary.found_in(data, needles | persons) == set()
    rooms.log.flush()
    for path in (rooms.folder / "canary").iterdir():
        path.unlink()  # the test's own notes
    assert canary.in_files([rooms.folder], needles | persons) == {}


def test_the_search_finds_each_form_of_the_pattern():
    """Every needle is in what it stands for, and none in bytes that have nothing to do with it."""
    patch = canary.make_patch()
    frame = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), np.uint8)
    frame[: canary.SIDE, : canary.SIDE] = patch
    import base64

    import cv2

    jpeg = cv2.imencode(".jpg", frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    png = cv2.imencode(".png", frame[:, :, ::-1])[1].tobytes()
    needles = canary.pixel_needles(patch) | canary.compressed_needles(patch)
    assert "full-rgb-5" in canary.found_in(frame.tobytes(), needles)
    assert canary.found_in(base64.b64encode(b"ab" + frame.tobytes()), needles)
    assert "jpeg-90" in canary.found_in(jpeg, needles)
    assert "picture" in canary.found_in(b"head" + png, needles)
    assert any(name.startswith("float32") for name in canary.found_in((frame / np.float32(255)).tobytes(), needles))
    vectors = np.random.default_rng(2).normal(size=(2, 128)).astype("<f4")
    assert canary.found_in(b"x" + vectors.tobytes(), canary.embedding_needles(vectors))
    assert canary.found_in(os.urandom(1_000_000), needles) == set()
