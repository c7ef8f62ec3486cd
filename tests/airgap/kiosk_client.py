"""What a browser on the box does with the kiosk page, without a browser: follows the views, answers, looks at codes."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

STROKE = re.compile(r"M(\d+) (\d+)\.5((?:h\d+|m\d+ 0)+)")


class KioskClient:
    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = self._connect()
        self._connection.request("GET", "/kiosk/events")
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=90)

    def views(self) -> Iterator[dict[str, Any]]:
        while line := self._answer.readline():
            if line.startswith(b"data:"):
                view = json.loads(line[5:])
                if view:
                    yield view

    def until(self, name: str) -> dict[str, Any]:
        """The next view of that name, and everything before it in `passed`."""
        self.passed: list[dict[str, Any]] = []
        for view in self.views():
            if view["view"] == name:
                return view
            assert view["view"] != "result" or name == "idle", view
            self.passed.append(view)
        raise AssertionError(f"the stream ended before {name}: {self.passed[-1:]}")

    def post(self, path: str, **body: Any) -> int:
        connection = self._connect()
        headers = {"Content-Type": "application/json", "Origin": self._url}
        connection.request("POST", path, json.dumps({"id": "", "token": "", **body}), headers)
        status = connection.getresponse().status
        connection.close()
        return status

    def code(self, view: dict[str, Any], kind: str, index: int) -> str:
        connection = self._connect()
        connection.request("GET", f"/kiosk/code/{view['id']}/{kind}/{index}.svg")
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        assert answer.status == 200, body[:200]
        assert answer.headers["Content-Type"].startswith("image/svg+xml")
        return body


def photographed(svg: str, scale: int = 5, seed: int = 1) -> NDArray[np.uint8]:
    """What a telephone makes of a code on a screen: the drawing in perspective, a little soft, with noise."""
    side = int(re.search(r'viewBox="0 0 (\d+)', svg)[1])
    modules = np.full((side, side), 235, np.uint8)
    for start, row, moves in STROKE.findall(svg):
        column = int(start)
        for kind, length in re.findall(r"([hm])(\d+)", moves):
            if kind == "h":
                modules[int(row), column : column + int(length)] = 25
            column += int(length)
    picture = cv2.resize(modules, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    size = side * scale
    room = np.full((size + 200, size + 260), 90, np.uint8)
    corners = np.array([(0, 0), (size, 0), (size, size), (0, size)], np.float32)
    seen = corners + np.array([(110, 100), (130, 90), (120, 110), (104, 118)], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, seen)
    cv2.warpPerspective(
        picture, matrix, room.shape[::-1], dst=room, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_TRANSPARENT
    )
    noise = np.random.default_rng(seed).normal(0, 4, room.shape)
    return np.clip(cv2.GaussianBlur(room, (0, 0), 0.8) + noise, 0, 255).astype(np.uint8)
