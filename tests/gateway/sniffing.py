"""Looks at every answer that the gateway gives in these tests for anything that could be an image.

In: content type and body. Out: a complaint, or nothing. By signature, by signature in base64 or hexadecimal, by long
rows of numbers (pixels as text), and by entropy: what is compressed or random has close to eight bits a byte, JSON,
HTML and base64 have six or fewer.
"""

from __future__ import annotations

import base64
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

SIGNATURES = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF87a",
    b"GIF89a",
    b"BM6",
    b"II*\x00",
    b"MM\x00*",
    b"\x00\x00\x00\x0cjP  ",
    b"\xff\x0a",
    b"8BPS",
    b"\x76\x2f\x31\x01",
)
BRANDS = (b"ftypheic", b"ftypheix", b"ftypavif", b"ftypmif1", b"WEBPVP8", b"ftypisom", b"ftypmp42")
ENCODED = tuple(
    base64.b64encode(it)[: len(it) * 4 // 3] for it in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x10", b"GIF89a")
)
HEXADECIMAL = re.compile(rb"89504e470d0a1a0a|ffd8ff[de][0-9a-f]|474946383[79]61", re.IGNORECASE)
PIXELS = re.compile(rb"(?:\d{1,3}(?:\.\d+)?\s*,\s*){64}")
"""More numbers in a row than any answer has reason to say: the face box has four."""
MAX_BITS = 6.7
LEAST = 1024
SOUND = ("audio/",)


def complaint(kind: str, body: bytes) -> str:
    """Why this may be an image; empty if it cannot."""
    if kind.startswith("image/") and not kind.startswith("image/svg+xml"):
        return f"the type is {kind}"
    if body.startswith(SIGNATURES) or any(brand in body[:64] for brand in BRANDS):
        return "it begins as an image does"
    if any(text in body for text in ENCODED) or b"data:image" in body:
        return "it holds an image in base64"
    if HEXADECIMAL.search(body):
        return "it holds an image in hexadecimal"
    if PIXELS.search(body):
        return "it holds a long row of numbers"
    if kind.startswith("image/svg+xml") and re.search(rb"<(image|foreignObject|script)|href", body):
        return "the drawing refers to something"
    bits = entropy(body)
    if len(body) >= LEAST and bits > MAX_BITS and not kind.startswith(SOUND):
        return f"{bits:.2f} bits a byte is too much for words"
    return ""


def entropy(body: bytes) -> float:
    """Shannon entropy in bits a byte."""
    return -sum(n / len(body) * math.log2(n / len(body)) for n in Counter(body).values()) if body else 0.0


class Sniffer:
    """WSGI middleware; `found` has what it complained about (and `report`, line by line), `answers` how many it smelled
    at."""

    def __init__(self, application: Callable[..., Iterable[bytes]], report: IO[str] | None = None) -> None:
        self._application = application
        self._report = report
        self.found: list[str] = []
        self.answers = 0

    def complain(self, text: str) -> None:
        self.found.append(text)
        if self._report is not None:
            self._report.write(text + "\n")

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        kinds: list[str] = []

        def note(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            kinds[:] = [value for name, value in headers if name.lower() == "content-type"]
            return start(status, headers, *rest)

        return _Smelled(self._application(environ, note), self, kinds, str(environ.get("PATH_INFO")))


class _Smelled:
    """Passes an answer on, and closes what it came from."""

    def __init__(self, body: Iterable[bytes], sniffer: Sniffer, kinds: list[str], path: str) -> None:
        self._body, self._sniffer, self._kinds, self._path = body, sniffer, kinds, path
        self._seen = bytearray()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            self._seen += chunk
            yield chunk

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
        self._sniffer.answers += 1
        wrong = complaint((self._kinds or [""])[0], bytes(self._seen))
        if wrong:
            self._sniffer.complain(f"{self._path}: {wrong}")
