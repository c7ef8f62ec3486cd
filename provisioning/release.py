"""Releases: what a box installs, signed by the organisation, and two environments of which one runs.

In: a folder with the product's wheel, `requirements.lock`, the `wheels/` that it names, `models/`. Out: `release.jws`
over the SHA-256 of every file; on the box a new environment beside the old one, with models of its own, and the link
`current` that says which runs. Nothing of a release is unpacked before its signature and every file have been checked
against the root that the box was enrolled under.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry

from device.certificates import ARC, der
from device.errors import ConfigurationError, InputError
from device.status_list import organisation_key
from provisioning.authority import Authority
from provisioning.files import point, write_atomic

RELEASE_SIGNING: Final = x509.ObjectIdentifier(f"{ARC}.2.4")
TYPE: Final = "vouchbox-release+jwt"
STATEMENT: Final = "release.jws"
BASE: Final = Path("/opt/vouchbox")
_MAX_STATEMENT: Final = 1024 * 1024
_VERSION: Final = re.compile(r"[0-9][A-Za-z0-9.+_-]{0,63}")


class _Registry(JWSRegistry):
    max_header_length = 16 * 1024
    max_payload_length = _MAX_STATEMENT


@dataclass(frozen=True)
class Release:
    """A release whose signature and files are right. `name` is its environment's."""

    folder: Path
    version: str
    name: str
    files: dict[str, str]

    @property
    def wheel(self) -> Path:
        """The product's. Raises `InputError` if there is not exactly one."""
        found = [name for name in self.files if re.fullmatch(r"vouchbox-[^/]+\.whl", name)]
        if len(found) != 1:
            raise InputError(f"{self.folder} must hold one wheel vouchbox-….whl, not {len(found)}")
        return self.folder / found[0]


def sign_release(signer: Authority, folder: Path, version: str) -> Path:
    """Writes `release.jws`. Raises `InputError` if the folder holds no wheel, or the version is none."""
    if not _VERSION.fullmatch(version):
        raise InputError(f"{version!r} is no version: it begins with a digit; letters, digits and . + _ - follow")
    files = digests(folder)
    _ = Release(folder, version, "", files).wheel
    header = {"alg": "ES256", "typ": TYPE, "x5c": [base64.b64encode(der(one)).decode() for one in signer.chain]}
    claims = {"version": version, "iat": int(time.time()), "files": files}
    key = ECKey.import_key(signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    payload = json.dumps(claims, sort_keys=True, separators=(",", ":")).encode()
    token = jws.serialize_compact(header, payload, key, registry=_Registry(algorithms=["ES256"]))
    write_atomic(folder / STATEMENT, token.encode())
    return folder / STATEMENT


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, the statement apart. Raises `InputError` for a link or an empty folder."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise InputError(f"{path} is a link; a release has plain files only")
        if path.is_file() and path != folder / STATEMENT:
            with path.open("rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    if not found:
        raise InputError(f"{folder} holds no release")
    return found


def verify_release(folder: Path, trust: Sequence[x509.Certificate]) -> Release:
    """The release in `folder`, if the organisation signed it and it is whole.

    Raises:
        InputError: says what is wrong, and which file.
    """
    try:
        token = (folder / STATEMENT).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{folder} has no {STATEMENT}: this release is not signed") from error
    claims = _claims(token, trust)
    version, files = claims.get("version"), claims.get("files")
    if not isinstance(version, str) or not _VERSION.fullmatch(version) or not isinstance(files, dict):
        raise InputError(f"{folder / STATEMENT} does not say which version and which files")
    found = digests(folder)
    wrong = sorted(name for name in {*found, *files} if found.get(name) != files.get(name))
    if wrong:
        raise InputError(f"this release was changed after it was signed: {', '.join(wrong[:5])}")
    mark = hashlib.sha256(token.encode()).hexdigest()[:12]
    return Release(folder, version, f"{version}-{mark}", found)


def _claims(token: str, trust: Sequence[x509.Certificate]) -> dict[str, Any]:
    if not 0 < len(token) <= 2 * _MAX_STATEMENT or token.count(".") != 2:
        raise InputError("the release's statement is not a signed token")
    part = token.split(".", 1)[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        x5c = header["x5c"] if header["typ"] == TYPE and header["alg"] == "ES256" else None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError("the release's statement cannot be read") from error
    public = organisation_key(x5c, trust, datetime.datetime.now(datetime.UTC), RELEASE_SIGNING)
    if public is None:
        raise InputError("this release is signed by nobody whom this box's organisation lets sign releases")
    key = ECKey.import_key(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    try:
        value = json.loads(jws.deserialize_compact(token, key, registry=_Registry(algorithms=["ES256"])).payload)
    except (JoseError, ValueError, RecursionError) as error:
        raise InputError("the release's signature is wrong") from error
    return value if isinstance(value, dict) else {}


# --- Two environments ------------------------------------------------------------------------------------------------


def unpack(release: Release, base: Path, python: str) -> Path:
    """Makes the environment of a verified release, without network, beside the one that runs and the one before it.

    Raises:
        ConfigurationError: it cannot be made; these two are as they were.
    """
    target = base / "releases" / release.name
    if (target / ".complete").exists():
        return target
    _discard_others(base)
    target.parent.mkdir(parents=True, exist_ok=True)
    _do([python, "-m", "venv", "--clear", "--system-site-packages", str(target)])
    pip = [
        str(target / "bin" / "python"),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--no-index",
    ]
    lock = release.folder / "requirements.lock"
    if lock.exists() and lock.read_text(encoding="utf-8").strip():
        wheels = ["--find-links", str(release.folder / "wheels"), "--only-binary=:all:", "--require-hashes"]
        _do([*pip, "--ignore-installed", *wheels, "-r", str(lock)])
    _do([*pip, "--no-deps", str(release.wheel)])
    _do([str(target / "bin" / "python"), "-m", "provisioning.lean"])
    _place_models(release, target)
    write_atomic(target / ".complete", b"")
    return target


def _discard_others(base: Path) -> None:
    """What neither runs nor ran before it: a card has room for a few environments, and a box is upgraded for years."""
    kept = {(base / link).resolve() for link in ("current", "previous")}
    for one in (base / "releases").glob("*"):
        if one.resolve() in kept:
            continue
        if one.is_symlink() or not one.is_dir():
            one.unlink()
            continue
        (one / ".complete").unlink(missing_ok=True)  # first: what is half deleted must not be switched to
        try:
            shutil.rmtree(one)
        except OSError as error:
            raise ConfigurationError(f"{one} cannot be deleted: {error.strerror}") from error


def _place_models(release: Release, environment: Path) -> None:
    """The release's models go into its own environment, where they are found before those of the box: switching back
    switches the models back as well. The manifest is the wheel's; a bundle (a folder) brings its own."""
    files = [name for name in release.files if name.startswith("models/") and name != "models/manifest.toml"]
    if not files:
        return
    package = next(environment.glob("lib/python*/site-packages/models"), None)
    if package is None:
        raise ConfigurationError(f"{release.wheel.name} has no package for models")
    for name in files:
        write_atomic(package / Path(name).relative_to("models"), (release.folder / name).read_bytes())


def _do(command: list[str]) -> None:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise ConfigurationError(f"{command[0]} cannot be started: {error.strerror}") from error
    if ended.returncode != 0:
        raise ConfigurationError(f"{' '.join(command[:4])} … failed: {(ended.stderr or ended.stdout).strip()[-400:]}")


def activate(base: Path, name: str) -> tuple[str, bool]:
    """Lets `current` point to an environment; the one before stays, as `previous`. Returns its name, and whether
    changed.

    Raises:
        ConfigurationError: there is no complete environment of that name.
    """
    if not (base / "releases" / name / ".complete").exists():
        raise ConfigurationError(
            f"{base}/releases/{name} is not there, or was not completed: install the release again"
        )
    before = current(base)
    if before == name:
        return before, False
    if before:
        point(base / "previous", str(base / "releases" / before))
    point(base / "current", str(base / "releases" / name))
    return before, True


def roll_back(base: Path) -> str:
    """Lets `current` point to the environment that ran before. Raises `ConfigurationError` if there is none."""
    before = base / "previous"
    if not before.is_symlink() or not before.is_dir():
        raise ConfigurationError(f"{base} has no previous environment to go back to")
    name = before.resolve().name
    point(base / "current", str(base / "releases" / name))
    return name


def current(base: Path) -> str:
    """The name of the environment that runs; empty if there is none."""
    link = base / "current"
    return link.resolve().name if link.is_symlink() and link.is_dir() else ""
