"""A relay between two rooms that keeps every byte that crosses, in both directions."""

from __future__ import annotations

import select
import socket
import threading
from pathlib import Path


class Relay:
    """Listens at `front`, passes on to `back`; `said` is all that was said, by either side."""

    def __init__(self, front: Path, back: Path) -> None:
        self._back = back
        self.said: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(front))
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as far:
            try:
                far.connect(str(self._back))
                while True:
                    for source in select.select([near, far], [], [])[0]:
                        data = source.recv(65_536)
                        if not data:
                            return
                        self.said.append(data)
                        (far if source is near else near).sendall(data)
            except OSError:
                return

    def close(self) -> None:
        self._listener.close()
