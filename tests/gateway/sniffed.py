"""The gateway's process with a sniffer in it: every answer of every live box that a test starts is looked at.

In: the gateway's own `--config`. Out: a gateway as it always is, and `<runtime>/sniffed.txt`, which is there from the
start and gets a line for each answer that might hold an image.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from device.config import Config, load_config
from device.gateway.service import Service
from device.launch import Services
from device.logs import set_up_logging
from tests.gateway.sniffing import Sniffer


class SniffedServices(Services):
    """The three services, whose gateway's answers are smelled at. The sniffer's complaints fail the test at the end."""

    def _start(self, name: str) -> None:
        if name != "gateway":
            super()._start(name)
            return
        command = [sys.executable, "-m", "tests.gateway.sniffed", f"--config={self._file}"]
        self._processes[name] = subprocess.Popen(
            command, stderr=self._output, env=os.environ, cwd=Path(__file__).parents[2]
        )

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        super().__exit__(kind, error, trace)
        if kind is None:
            assert report(self.config).read_text() == "", "no answer ever holds an image"


def report(config: Config) -> Path:
    return config.runtime / "sniffed.txt"


def main(path: Path) -> None:
    set_up_logging("gateway")
    config = load_config(path)
    service = Service(config)
    service._server.wsgi_app = Sniffer(service._server.wsgi_app, report(config).open("a", buffering=1))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    service.run()


if __name__ == "__main__":
    main(Path(sys.argv[1].removeprefix("--config=")))
