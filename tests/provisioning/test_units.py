"""The services while something under them changes: stopped before, started after, whatever happens in between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from device.config import DEFAULT_FILE, BoxConfig, Config, GatewayConfig
from provisioning.units import (
    TARGET,
    UNITS,
    active_units,
    gateway_url,
    restart_notary,
    run_command,
    services_stopped,
)


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


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ("Listen=127.0.0.1:8470 (Stream)\n", "http://127.0.0.1:8470"),
        ("Listen=192.168.7.2:443 (Stream)\n", "http://192.168.7.2:443"),
        ("Listen=[::]:8470 (Stream)\n", "http://[::1]:8470"),
        ("Listen=0.0.0.0:8470 (Stream)\n", "http://127.0.0.1:8470"),
        ("Listen=[fd00::7]:8470 (Stream)\n", "http://[fd00::7]:8470"),
        ("", "http://127.0.0.1:9"),
        ("System has not been booted with systemd as init system (PID 1).", "http://127.0.0.1:9"),
    ],
)
def test_where_the_gateway_is_asked(said: str, url: str) -> None:
    config = Config(gateway=GatewayConfig(port=9))
    assert gateway_url(DEFAULT_FILE, config, lambda _: (0, said)) == url
    assert gateway_url(Path("/another.toml"), config, lambda _: (0, said)) == "http://127.0.0.1:9"


def test_with_a_certificate_it_is_asked_over_tls() -> None:
    config = Config(gateway=GatewayConfig(certificate="c.pem", private_key="k.pem"))
    assert gateway_url(Path("c"), config) == "https://127.0.0.1:8470"
