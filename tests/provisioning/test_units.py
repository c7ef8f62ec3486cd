"""The services while something under them changes: stopped before, started after, whatever happens in between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from device.config import BoxConfig, Config
from provisioning.units import TARGET, UNITS, active_units, restart_notary, run_command, services_stopped


class Systemd:
    """Remembers what it was told; `active` are the units that run."""

    def __init__(self, *active: str) -> None:
        self.active = active
        self.told: list[list[str]] = []

    def __call__(self, command: Sequence[str]) -> tuple[int, str]:
        if command[1] == "is-active":
            return 3, "".join("active\n" if unit in self.active else "inactive\n" for unit in command[2:])
        self.told.append(list(command[1:]))
        return 0, ""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(box=BoxConfig(runtime=str(tmp_path)))


def test_what_ran_runs_again(config: Config) -> None:
    systemd = Systemd(TARGET, *UNITS[:3])
    with pytest.raises(ValueError, match="inside"), services_stopped(config, systemd):
        raise ValueError("inside")
    assert systemd.told == [["stop", TARGET, *UNITS[:3]], ["start", TARGET, *UNITS[:3]]]


def test_a_wiped_box_stays_stopped(config: Config) -> None:
    systemd = Systemd(TARGET)
    with services_stopped(config, systemd, again=False):
        pass
    assert systemd.told == [["stop", TARGET]]


def test_nothing_ran(config: Config) -> None:
    systemd = Systemd()
    with services_stopped(config, systemd) as active:
        assert active == ()
    assert systemd.told == []
    assert not restart_notary(systemd)


def test_the_notary_takes_a_new_key() -> None:
    systemd = Systemd("vouchbox-notary.service")
    assert restart_notary(systemd)
    assert systemd.told[0][0] == "restart"


def test_a_machine_without_systemd() -> None:
    assert active_units(lambda _command: (127, "not found")) == ()
    assert run_command(["vouchbox-no-such-program"])[0] == 127
    assert run_command(["sh", "-c", "echo out; exit 3"]) == (3, "out\n")
