"""The gateway as a process: how it starts, what it announces, when it refuses, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import msgspec
import pytest

from device.config import BoxConfig, Config, GatewayConfig, write_config
from device.errors import ConfigurationError
from device.gateway.service import Service, check_exposure
from tests.gateway.test_server import self_signed


def gateway(folder: Path, config: Config) -> subprocess.Popen[str]:
    write_config(config, folder / "config.toml")
    command = [sys.executable, "-m", "device.gateway.service", "--config", str(folder / "config.toml")]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_it_announces_where_it_is_and_ends_on_sigterm(folder: Path, config: Config) -> None:
    process = gateway(folder, config)
    announcement = folder / "gateway.json"
    try:
        deadline = time.monotonic() + 30
        while not announcement.exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        said = json.loads(announcement.read_text())
        assert said["pid"] == process.pid
        with urllib.request.urlopen(f"{said['url']}/v1/openapi.json") as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) == 0
        assert not announcement.exists()
    finally:
        process.kill()
        process.communicate()


def test_a_wrong_configuration_is_one_line(folder: Path, config: Config) -> None:
    exposed = msgspec.structs.replace(config, gateway=GatewayConfig(host="0.0.0.0", port=0))
    process = gateway(folder, exposed)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said.count("\n") == 1
    assert "gateway.certificate" in said


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "box.example"])
def test_off_loopback_it_wants_tls(host: str) -> None:
    with pytest.raises(ConfigurationError, match="certificate"):
        check_exposure(Config(gateway=GatewayConfig(host=host)))
    check_exposure(Config(gateway=GatewayConfig(host=host, certificate="c.pem", private_key="k.pem")))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_on_loopback_it_does_not(host: str) -> None:
    check_exposure(Config(gateway=GatewayConfig(host=host)))


def test_half_of_tls_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="both or neither"):
        check_exposure(Config(gateway=GatewayConfig(certificate="c.pem")))


def test_a_key_that_does_not_fit_is_an_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    certificate, _ = self_signed(tmp_path)
    _, key = self_signed(tmp_path / "other")
    settings = GatewayConfig(port=0, certificate=str(certificate), private_key=str(key))
    with pytest.raises(ConfigurationError, match="cannot use the certificate"):
        Service(Config(box=BoxConfig(runtime=str(folder), state=str(folder)), gateway=settings))


def test_a_taken_port_is_an_error(config: Config) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=str(port)):
            Service(msgspec.structs.replace(config, gateway=GatewayConfig(port=port)))


def test_a_runtime_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    box = BoxConfig(runtime=str(tmp_path / "file"), state=str(tmp_path))
    service = Service(Config(box=box, gateway=GatewayConfig(port=0)))
    with pytest.raises(ConfigurationError, match=r"box\.runtime"):
        service.run()


def test_it_imports_no_pixels_and_no_notary() -> None:
    code = """if True:
        import sys, device.gateway.service
        walled = ("numpy", "cv2", "device.vision", "device.notary")
        print([name for name in sys.modules if name.startswith(walled)])
    """
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert said.stdout.strip() == "[]"
