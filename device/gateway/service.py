"""The gateway process: `python -m device.gateway.service --config FILE`.

In: a configuration. Out: an exit code; while it runs, the API is served and `<runtime>/gateway.json` says where.
It has the network, and neither pixels nor a key. Off loopback it refuses to start without TLS. On a box systemd opens
the address and this process only accepts from it: it has no way to call out, and no file that it could write.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import msgspec

from device.config import Config, load_config
from device.errors import ConfigurationError, VouchboxError
from device.gateway.app import Gateway, create_app
from device.gateway.limits import Limits
from device.gateway.server import Server
from device.logs import set_up_logging
from device.supervision import Supervisor, inherited_listener

log = logging.getLogger(__name__)


class Announcement(msgspec.Struct, frozen=True):
    """The content of `gateway.json`."""

    url: str
    pid: int


class Service:
    """One gateway, bound to its address by `__init__`; `run` serves until `stop`.

    Args:
        config: the box's configuration.
        limits: what callers may do.
        listener: an address that systemd has opened for it, which then counts instead of the configured one.
        supervisor: hears that the service is ready and alive.

    Raises:
        ConfigurationError: the address is not loopback and there is no TLS, or the certificate, the key, the address or
            the list of relying parties cannot be used.
    """

    def __init__(
        self,
        config: Config,
        limits: Limits | None = None,
        listener: socket.socket | None = None,
        supervisor: Supervisor | None = None,
    ) -> None:
        if listener is not None:
            config = _at(config, listener)
        check_exposure(config)
        self._config = config
        self._announced = listener is None
        self._supervisor = supervisor or Supervisor()
        self.gateway = Gateway(config, limits or Limits())
        if self.gateway.parties.problem:
            raise ConfigurationError(self.gateway.parties.problem)
        threading.stack_size(1024 * 1024)
        settings = config.gateway
        self._server = Server(
            (settings.host, settings.port),
            create_app(self.gateway),
            self.gateway.limits,
            settings.certificate,
            settings.private_key,
            listener,
            settings.operators,
        )
        self._server.on_turn = self._supervisor.alive
        try:
            self._server.prepare()
        except OSError as error:
            raise ConfigurationError(f"cannot listen at {settings.host} port {settings.port}: {error}") from error
        self.url = self._server.url

    def run(self) -> None:
        """Announces (where the address is not systemd's, and known), and serves; returns after `stop`."""
        announcement = self._config.runtime / "gateway.json"
        try:
            if self._announced:
                announce(announcement, Announcement(self.url, os.getpid()))
            log.info("the gateway serves %s", self.url)
            self._supervisor.ready()
            self._server.serve()
        finally:
            self._supervisor.stopping()
            self.gateway.close()
            self._server.stop()
            if self._announced:
                with contextlib.suppress(OSError):
                    announcement.unlink()

    def stop(self) -> None:
        """Ends `run`: streams end, what runs is cancelled. May be called from any thread and from a signal handler."""
        threading.Thread(target=self._stop, name="stop", daemon=True).start()

    def _stop(self) -> None:
        self.gateway.close()
        self._server.stop()


def _at(config: Config, listener: socket.socket) -> Config:
    """The configuration with the address that `listener` is bound to. Raises `ConfigurationError` if it has no port."""
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        raise ConfigurationError("vouchbox-gateway.socket must name an address and a port: ListenStream=127.0.0.1:8470")
    host, port = listener.getsockname()[:2]
    return msgspec.structs.replace(config, gateway=msgspec.structs.replace(config.gateway, host=host, port=port))


def check_exposure(config: Config) -> None:
    """Raises `ConfigurationError` unless the address is loopback or TLS is set up."""
    settings = config.gateway
    if bool(settings.certificate) != bool(settings.private_key):
        raise ConfigurationError("gateway.certificate and gateway.private_key belong together: set both or neither")
    if settings.certificate:
        return
    try:
        loopback = settings.host == "localhost" or ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigurationError(
            f"gateway.host is {settings.host}, which others can reach: set gateway.certificate and "
            "gateway.private_key, or listen at 127.0.0.1"
        )


def announce(path: Path, announcement: Announcement) -> None:
    """Writes the file atomically. Raises `ConfigurationError` if the runtime folder cannot be written."""
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(msgspec.json.encode(announcement) + b"\n")
        temporary.replace(path)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}; is box.runtime right?") from error


def main(config: Config) -> int:
    """Serves until SIGTERM or SIGINT; 0 then."""
    service = Service(config, listener=inherited_listener())
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: service.stop())
    service.run()
    return 0


def run_command(arguments: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="device.gateway.service", description=__doc__)
    parser.add_argument("--config", type=Path, help="the box's configuration (TOML)")
    given = parser.parse_args(arguments)
    set_up_logging("gateway")
    try:
        return main(load_config(given.config))
    except VouchboxError as error:
        sys.stderr.write(f"gateway: {error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(run_command(sys.argv[1:]))
