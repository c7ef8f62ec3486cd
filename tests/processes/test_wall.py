"""The wall at run time: everything that a real worker says in a whole verification, byte by byte."""

import os
import secrets
import socket
import subprocess
import sys

import msgspec
import pytest

from device import protocol as p
from device.channel import connect, listen
from device.config import write_config
from tests.processes.conftest import box_config


@pytest.fixture
def worker(_models, tmp_path):
    """A real worker process, and its socket."""
    config = box_config(tmp_path)
    write_config(config, tmp_path / "config.toml")
    listener = listen(config.vision_socket)
    status_read, status_write = os.pipe()
    lifeline_read, lifeline_write = os.pipe()
    command = [sys.executable, "-m", "device.vision.worker", f"--config={tmp_path / 'config.toml'}"]
    command += [f"--listener={listener.fileno()}", f"--status={status_write}", f"--lifeline={lifeline_read}"]
    process = subprocess.Popen(command, pass_fds=(listener.fileno(), status_write, lifeline_read))
    os.close(status_write)
    yield process, config.vision_socket
    os.close(lifeline_write)
    process.kill()
    process.wait()
    listener.close()
    os.close(status_read)


def frames_from(connection: socket.socket):
    """Raw message bodies until the worker hangs up."""
    stream = connection.makefile("rb")
    while prefix := stream.read(2):
        yield stream.read(int.from_bytes(prefix, "big"))


def test_all_that_leaves_vision_is_in_the_schema_and_within_the_budget(worker):
    process, path = worker
    order = p.StartCheck(
        verification=secrets.token_urlsafe(18),
        challenge_seed=bytes(range(32)),
        documents=(),
        checks=tuple(p.Check),
        limits=p.StageLimits(),
        fmr=p.FmrLevel.E3,
        challenge_steps=3,
        attributes=(p.Attribute.AGE_OVER_18, p.Attribute.DOCUMENT_TYPE),
        subject=True,
    )
    with connect(path) as connection:
        connection.settimeout(100)
        raw_order = p.encode(order)
        connection.sendall(len(raw_order).to_bytes(2, "big") + raw_order)
        raw = list(frames_from(connection))
    messages = [p.VISION_MESSAGES.decode(body) for body in raw]
    assert [type(m) for m in (messages[0], messages[-1])] == [p.VisionReady, p.Finished]
    # Canonical: encoding what was decoded gives the same bytes, so that no byte stands outside the schema.
    assert [msgspec.msgpack.encode(message) for message in messages] == raw
    total = sum(len(body) + 2 for body in raw)
    print(f"vision said {total} bytes in {len(raw)} messages")
    assert total <= p.MAX_VISION_BYTES
    assert set(messages[-1].attributes) <= {p.Attribute.AGE_OVER_18, p.Attribute.DOCUMENT_TYPE}
    assert process.wait(20) == 0, "a worker exits after its one verification"
