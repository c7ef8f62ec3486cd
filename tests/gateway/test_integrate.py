"""The Python example of docs/integrate.md does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from device.channel import Channel
from device.gateway.problems import Kind
from device.protocol import Ended, OpenVerification, Outcome, Reason
from tests.gateway.conftest import POLICY, Box
from tests.gateway.scripted_notary import TOKEN, opened

DOCUMENT = (Path(__file__).parents[2] / "docs" / "integrate.md").read_text()


@pytest.fixture
def example(box: Box, tmp_path: Path) -> list[str]:
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    assert len(blocks) == 1
    (tmp_path / "example.py").write_text(blocks[0])
    return [sys.executable, str(tmp_path / "example.py")]


def environment(box: Box) -> dict[str, str]:
    return {**os.environ, "BOX": box.service.url, "TOKEN": box.caller.token or "", "POLICY": POLICY}


def test_it_gets_the_verdict(box: Box, example: list[str]) -> None:
    done = subprocess.run(example, capture_output=True, text=True, env=environment(box), timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == TOKEN
    assert "finished" in done.stderr


def test_it_says_why_there_is_none(box: Box, example: list[str]) -> None:
    def refuse(channel: Channel, _request: OpenVerification) -> None:
        channel.send(opened())
        channel.send(Ended(Outcome.INCONCLUSIVE, Reason.KEY_UNAVAILABLE))

    box.notary.script = refuse
    done = subprocess.run(example, capture_output=True, text=True, env=environment(box), timeout=30, check=False)
    assert done.returncode == 1
    assert Kind.KEY_UNAVAILABLE.type in done.stderr


def test_the_problems_that_it_names_exist() -> None:
    table = DOCUMENT.partition("## What can go wrong")[2].partition("A verification that has ended")[0]
    rows = [row for row in table.splitlines() if row.startswith("| `") and "urn:" not in row]
    for row in rows:
        names, status = row.split("|")[1:3]
        for name in re.findall(r"`([a-z-]+)`", names):
            kind = next(kind for kind in Kind if kind.slug == name)
            assert kind.status == int(status)
