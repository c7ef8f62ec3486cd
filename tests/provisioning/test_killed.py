"""Cut off at any moment, provisioning can be run again and ends as if nothing had happened.

`VOUCHBOX_KILLS=100 pytest tests/provisioning/test_killed.py` (`make test-killed`) takes a hundred seeded moments;
eight are taken by default.
"""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from device.gateway.auth import RelyingParties
from device.notary.ledger import verify_ledger
from device.notary.seal import Mark, last_mark
from provisioning.box import Stage
from provisioning.office import Office
from tests.provisioning.conftest import SETTINGS, Bench, facts
from tests.provisioning.kill_moments import in_child, leftovers

KILLS = int(os.environ.get("VOUCHBOX_KILLS", "8"))
ADD = ("relying-party", "add", "bank", "--policy", "standard", "--audience", "https://bank.example")


def provision(bench: Bench) -> None:
    """From no authority and a bare box to a sealed one."""
    options = ("--name", SETTINGS.name, "--issuer", SETTINGS.issuer, "--status-uri", SETTINGS.status_uri)
    facts("authority", "create", bench.authority, *options)
    bench.enrol()
    bench.facts(*ADD, "--token-file", bench.folder / "token")
    bench.seal()
    facts("authority", "export", bench.authority, "--into", bench.folder / "www")


def check(bench: Bench) -> None:
    """It is what an undisturbed run makes."""
    assert bench.box.stage() is Stage.SEALED
    assert bench.facts("status")["problems"] == []
    assert [path.name for path in bench.box.generations()] == ["generation-1"]
    assert verify_ledger(bench.state / "ledger.sqlite").size == 1
    mark = last_mark(bench.state / "ledger.sqlite")
    assert mark is not None
    assert mark[0] is Mark.SEALED
    root = (bench.authority / "root" / "chain.pem").read_bytes()
    assert (bench.state / "keys" / "production" / "root.pem").read_bytes() == root
    office = Office(bench.authority)
    assert [issued.name for issued in office.registry.all()[2:]] == ["box-1"]
    office.close()
    token = (bench.folder / "token").read_text().strip()
    assert RelyingParties(bench.state / "relying-parties.toml").authenticate(token) is not None
    assert [name for name in leftovers(bench.folder) if "keys" in name or "authority" in name] == []


def moments_of(tmp_path: Path) -> int:
    provision(Bench(tmp_path / "warm"))  # imports everything once, here, and not in every child
    read, write = os.pipe()
    bench = Bench(tmp_path / "undisturbed")
    assert in_child(lambda: provision(bench), None, write) == 0
    check(bench)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        return int(pipe.read())


@pytest.mark.timeout(3600)
def test_killed_at_seeded_moments(tmp_path: Path) -> None:
    count = moments_of(tmp_path)
    assert count > 60
    chosen = random.Random(7).sample(range(1, count + 1), min(KILLS, count))
    for moment in chosen:
        survive(Bench(tmp_path / f"killed-{moment}"), moment)


def survive(bench: Bench, moment: int) -> None:
    status = in_child(lambda: provision(bench), moment)
    assert os.WIFSIGNALED(status), moment
    assert os.WTERMSIG(status) == signal.SIGKILL, moment
    assert in_child(lambda: provision(bench), None) == 0, f"not completed after a kill at moment {moment}"
    check(bench)


@pytest.mark.timeout(300)
def test_killed_again_and_again(tmp_path: Path) -> None:
    """Each run gets a little further before it is killed; the last is left alone."""
    bench = Bench(tmp_path / "box")
    for moment in range(5, 200, max(5, 240 // KILLS)):
        if in_child(lambda: provision(bench), moment) == 0:
            break
    assert in_child(lambda: provision(bench), None) == 0
    check(bench)
