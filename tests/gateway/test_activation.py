"""The gateway on an address that systemd opened: it counts instead of the configured one, and for TLS too."""

from __future__ import annotations

import socket
import threading
import urllib.request

import msgspec
import pytest

from device.config import Config, GatewayConfig
from device.errors import ConfigurationError
from device.gateway.service import Service


class Systemd:
    """Hears what a service says."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.beat = threading.Event()

    def ready(self) -> None:
        self.said.append("ready")

    def alive(self) -> None:
        self.beat.set()

    def stopping(self) -> None:
        self.said.append("stopping")


def test_it_serves_on_the_inherited_socket_and_writes_no_file(config: Config) -> None:
    listener, systemd = socket.create_server(("127.0.0.1", 0)), Systemd()
    service = Service(config, listener=listener, supervisor=systemd)  # type: ignore[arg-type]
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        assert service.url == f"http://127.0.0.1:{listener.getsockname()[1]}"
        with urllib.request.urlopen(f"{service.url}/v1/openapi.json", timeout=10) as answer:
            assert answer.status == 200
        assert systemd.beat.wait(5), "signs of life come while the loop turns"
        assert not (config.runtime / "gateway.json").exists()
    finally:
        service.stop()
        thread.join(15)
    assert systemd.said == ["ready", "stopping"]


def test_the_address_that_is_really_bound_decides_about_tls(config: Config) -> None:
    harmless = msgspec.structs.replace(config, gateway=GatewayConfig(host="127.0.0.1", port=1))
    with socket.create_server(("0.0.0.0", 0)) as listener, pytest.raises(ConfigurationError, match="certificate"):
        Service(harmless, listener=listener)


def test_another_family_is_refused(config: Config, tmp_path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, pytest.raises(ConfigurationError, match="port"):
        Service(config, listener=listener)
