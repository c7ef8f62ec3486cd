"""A worker serves a notary that still waits, and not one that has given up."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from device.channel import connect, listen
from device.vision.worker import Status, next_notary


@pytest.fixture
def lifeline() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            pass


@pytest.fixture
def status() -> Iterator[Status]:
    read, write = os.pipe()
    yield Status(write)
    os.close(read)
    os.close(write)


def listener_in(folder: Path) -> tuple[socket.socket, Path]:
    path = folder / "vision.sock"
    return listen(path, backlog=4), path


def test_one_that_gave_up_while_the_models_were_loaded_costs_nothing(
    tmp_path: Path, lifeline: tuple[int, int], status: Status
) -> None:
    listener, path = listener_in(tmp_path)
    for _ in range(3):
        connect(path).close()
    waiting = connect(path)
    found = next_notary(listener, lifeline[0], status)
    assert found is not None
    found.sendall(b"ready")
    assert waiting.recv(5) == b"ready"
    for each in (found, waiting, listener):
        each.close()


def test_it_ends_with_its_service(tmp_path: Path, lifeline: tuple[int, int], status: Status) -> None:
    listener, path = listener_in(tmp_path)
    connect(path).close()
    os.close(lifeline[1])
    assert next_notary(listener, lifeline[0], status) is None
    listener.close()
