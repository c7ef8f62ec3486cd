"""The organisation's authority as it lies on a disk: a folder with its keys, its registry and its settings.

In: a folder that is kept offline, requests of boxes. Out: certificates, revocations, and the signed status list.

    authority.toml            name, issuer, status list address, lifetimes
    root/                     key.pem (encrypted with a passphrase), chain.pem: needed to create, then kept in a safe
    issuing/ development/     the keys that issue boxes' certificates, one for each purpose
    status/  release/         the keys that sign status lists and releases
    pseudonym.key             given to the organisation's boxes, encrypted for each
    registry.sqlite           what has been issued and revoked
"""

from __future__ import annotations

import datetime
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from msgspec import Meta

from device.certificates import Purpose, der, key_id
from device.config import read_toml
from device.errors import ConfigurationError, InputError
from device.notary.pseudonym import KEY_BYTES
from device.status_list import StatusReference
from provisioning.authority import (
    Authority,
    create_issuing,
    create_root,
    create_signer,
    create_status_signer,
    issue_leaf,
    pem,
)
from provisioning.bundle import Bundle, make_bundle
from provisioning.codes import plain, shown_code
from provisioning.files import new_folder, write_atomic
from provisioning.registry import Issued, Registry, Waiting
from provisioning.release import RELEASE_SIGNING
from provisioning.request import Request

RENEW_SHARE: Final = 1 / 3
"""A certificate is renewed when less than this share of its lifetime is left; before that the same one is given."""
_FOLDERS: Final = {Purpose.PRODUCTION: "issuing", Purpose.DEVELOPMENT: "development"}


_LONGEST_NAME: Final = 64 - len(" DEVELOPMENT boxes")
"""Bytes of the organisation's name: its certificates' common names (RFC 5280, ub-common-name: 64) begin with it, and no
more than this follows."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`authority.toml`."""

    name: Annotated[str, Meta(min_length=1, max_length=_LONGEST_NAME)]
    issuer: Annotated[str, Meta(min_length=1, max_length=256)]
    status_uri: Annotated[str, Meta(pattern=r"^https?://", max_length=512)]
    box_days: Annotated[int, Meta(ge=1, le=1827)] = 397
    list_days: Annotated[int, Meta(ge=1, le=90)] = 7


@dataclass(frozen=True)
class Created:
    """`changed` is False if the authority was there already."""

    folder: Path
    root: Path
    fingerprint: str
    changed: bool


def make_settings(*, name: str, issuer: str, status_uri: str, box_days: int) -> Settings:
    """Checked values. Raises `InputError` that names the one that is out of its bounds."""
    values = {"name": name, "issuer": issuer, "status_uri": status_uri, "box_days": box_days}
    try:
        settings = msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise InputError(f"no authority can be made with these settings: {error}") from error
    if len(name.encode()) > _LONGEST_NAME:
        raise InputError(
            f"the name {name!r} has {len(name.encode())} bytes; a certificate has room for {_LONGEST_NAME}"
        )
    return settings


def create_office(folder: Path, settings: Settings, passphrase: bytes | None, *, root_days: int = 7305) -> Created:
    """A new authority, all of it or nothing; one of the same settings that is there already is left alone.

    Raises:
        ConfigurationError: another authority is there, or a folder that is none (a disk's own, where it is mounted), or
            the folder cannot be written.
    """
    root_file = folder / "root" / "chain.pem"
    if folder.exists():
        if not (folder / "authority.toml").exists():
            raise ConfigurationError(
                f"{folder} is there and is no authority; name a folder that is not there yet, as {folder / 'authority'}"
            )
        if read_settings(folder) != settings:
            raise ConfigurationError(f"{folder} is an authority with other settings; choose another folder")
        return Created(folder, root_file, _fingerprint(root_file), changed=False)
    root = create_root(f"{settings.name} root", days=root_days)
    with new_folder(folder) as fresh:
        _keep(fresh / "root", root, passphrase)
        registry = Registry(fresh / "registry.sqlite")
        for purpose, place in _FOLDERS.items():
            name = f"{settings.name} {'boxes' if purpose is Purpose.PRODUCTION else 'DEVELOPMENT boxes'}"
            _keep(fresh / place, _issuing(root, name, purpose, settings, registry), None)
        registry.close()
        _keep(fresh / "status", create_status_signer(root, f"{settings.name} status list"), None)
        _keep(fresh / "release", create_signer(root, f"{settings.name} releases", RELEASE_SIGNING), None)
        write_atomic(fresh / "pseudonym.key", secrets.token_bytes(KEY_BYTES), mode=0o600)
        write_atomic(fresh / "authority.toml", msgspec.toml.encode(settings))
    return Created(folder, root_file, _fingerprint(root_file), changed=True)


def _issuing(root: Authority, name: str, purpose: Purpose, settings: Settings, registry: Registry) -> Authority:
    """The issuing certificate has a place in the status list as well, so that it can be revoked as one."""
    made: list[Authority] = []

    def make(place: int) -> Issued:
        status = StatusReference(place, settings.status_uri)
        made.append(create_issuing(root, name, purpose=purpose, status=status))
        return _issued(place, made[0].certificate, name, "", purpose)

    with registry.transaction():
        registry.record(make)
    return made[0]


def _issued(place: int, certificate: x509.Certificate, name: str, box: str, purpose: Purpose) -> Issued:
    key = certificate.public_key()
    return Issued(
        place=place,
        serial=f"{certificate.serial_number:x}",
        name=name,
        box=box,
        kid=key_id(key),  # type: ignore[arg-type]
        purpose=str(purpose),
        issued=int(certificate.not_valid_before_utc.timestamp()),
        expires=int(certificate.not_valid_after_utc.timestamp()),
        der=der(certificate),
    )


class Office:
    """An authority that is open for business; its root key is not needed for that.

    Raises:
        ConfigurationError: there is no authority in `folder`, or it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = read_settings(folder)
        self.registry = Registry(folder / "registry.sqlite")

    def issue(self, request: Request, *, purpose: Purpose = Purpose.PRODUCTION, code: str = "") -> Bundle:
        """A certificate for the request's key, or the one that it has already.

        Args:
            request: checked, see `parse_request`.
            purpose: which verdicts the key may sign.
            code: SHA-256 of the one-time code that this uses up, if one was shown.

        Raises:
            InputError: the key was revoked, or belongs to another box.
        """
        authority = self._authority(purpose)
        with self.registry.transaction():
            leaf = self._current(request, purpose)
            if leaf is None:
                leaf = self._issue(authority, request, purpose)
            if code:
                self.registry.use_code(code, request.kid)
        chain = (x509.load_der_x509_certificate(leaf.der), *authority.chain)
        secret = (self.folder / "pseudonym.key").read_bytes() if purpose is Purpose.PRODUCTION else None
        return make_bundle(chain, self.settings.issuer, secret, request.transport)

    def issue_many(self, requests: Iterable[Request]) -> list[Issued]:
        """Production certificates for many boxes, all of them or none: one transaction is one wait for the disk."""
        authority = self._authority(Purpose.PRODUCTION)
        with self.registry.transaction():
            return [
                self._current(request, Purpose.PRODUCTION) or self._issue(authority, request, Purpose.PRODUCTION)
                for request in requests
            ]

    def _current(self, request: Request, purpose: Purpose) -> Issued | None:
        for issued in self.registry.by_key(request.kid):
            if issued.revoked is not None:
                raise InputError(f"the key of {request.name} was revoked; wipe the box and begin with a new key")
            if (issued.name, issued.box, issued.purpose) != (request.name, request.box, purpose):
                raise InputError(f"this key is already certified for {issued.name} ({issued.purpose})")
            if issued.expires - time.time() > (issued.expires - issued.issued) * RENEW_SHARE:
                return issued
        return None

    def _issue(self, authority: Authority, request: Request, purpose: Purpose) -> Issued:
        def make(place: int) -> Issued:
            leaf = issue_leaf(
                authority,
                request.key,
                request.name,
                purpose=purpose,
                days=self.settings.box_days,
                until=authority.certificate.not_valid_after_utc,
                box=request.box,
                status=StatusReference(place, self.settings.status_uri),
            )[0]
            return _issued(place, leaf, request.name, request.box, purpose)

        return self.registry.record(make)

    def revoke(self, words: str, reason: str) -> list[Issued]:
        """Revokes every certificate of a box (name or UEID), or the one with a serial number. Raises `InputError`."""
        found = self.registry.find(words)
        if not found:
            raise InputError(f"nothing was issued to {words!r}; `vouchbox-provision authority list` names all")
        self.registry.revoke([issued.place for issued in found], reason, int(time.time()))
        return self.registry.find(words)

    def approve(self, code: str) -> Waiting:
        """Lets the box that shows this code have its certificate. Raises `InputError` if none that waits shows it."""
        found = [one for one in self.registry.waiting() if plain(shown_code(one.kid)) == plain(code)]
        if not found:
            raise InputError(f"no box that waits shows {code[:64]!r}; `vouchbox-provision authority waiting` names all")
        self.registry.approve(found[0].kid, int(time.time()))
        return found[0]

    def signer(self) -> Authority:
        """The key that signs status lists."""
        return _open(self.folder / "status")

    def release_signer(self) -> Authority:
        """The key that signs releases."""
        return _open(self.folder / "release")

    def chain(self, purpose: Purpose = Purpose.PRODUCTION) -> tuple[x509.Certificate, ...]:
        """The issuing certificate and the root."""
        return self._authority(purpose).chain

    def _authority(self, purpose: Purpose) -> Authority:
        authority = _open(self.folder / _FOLDERS[purpose])
        if authority.certificate.not_valid_after_utc < datetime.datetime.now(datetime.UTC):
            raise ConfigurationError(f"the issuing certificate in {self.folder} has expired: a new authority is due")
        return authority

    def close(self) -> None:
        """Idempotent."""
        self.registry.close()


def read_settings(folder: Path) -> Settings:
    """Raises `ConfigurationError` if `folder` is no authority."""
    path = folder / "authority.toml"
    if not path.exists():
        raise ConfigurationError(f"{folder} is no authority; `vouchbox-provision authority create` makes one")
    return read_toml(path, Settings)


def _keep(folder: Path, authority: Authority, passphrase: bytes | None) -> None:
    protection: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    write_atomic(
        folder / "key.pem", authority.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection), mode=0o600
    )
    write_atomic(folder / "chain.pem", pem(authority.chain))


def _open(folder: Path) -> Authority:
    try:
        chain = tuple(x509.load_pem_x509_certificates((folder / "chain.pem").read_bytes()))
        key = load_pem_private_key((folder / "key.pem").read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"the authority's key in {folder} cannot be opened: {error}") from error
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Authority(key, chain)


def _fingerprint(path: Path) -> str:
    from cryptography.hazmat.primitives import hashes

    return x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256()).hex()
