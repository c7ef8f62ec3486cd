"""Acting as a service's user: what it makes is its own, what it may not read it cannot read; then we are root again."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioning.ownership import NOTARY, acting_as, give_to

NOBODY = "nobody"


@pytest.fixture
def place() -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can act as somebody else")
    with tempfile.TemporaryDirectory(prefix="vouchbox-owners-") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def test_files_belong_to_whom_they_were_made_as(place: Path) -> None:
    secret = place / "root"
    secret.write_text("x")
    secret.chmod(0o600)
    with acting_as(NOBODY):
        (place / "made").write_text("x")
        with pytest.raises(PermissionError):
            secret.read_text()
    assert os.geteuid() == 0
    assert (place / "made").owner() == NOBODY
    assert secret.read_text() == "x"
    give_to(secret, NOBODY)
    assert secret.stat().st_uid == pwd.getpwnam(NOBODY).pw_uid


def test_an_error_inside_leaves_us_as_we_were(place: Path) -> None:
    groups = os.getgroups()
    with pytest.raises(ValueError, match="inside"), acting_as(NOBODY):
        raise ValueError("inside")
    assert (os.geteuid(), os.getgroups()) == (0, groups)


def test_without_such_a_user_nothing_changes() -> None:
    before = os.geteuid()
    with acting_as("vouchbox-no-such-user"):
        assert os.geteuid() == before
    assert NOTARY == "vouchbox-notary"
