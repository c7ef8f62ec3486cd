"""Puts the authority's answer into a box: certificates that belong to its key, and the organisation's settings.

In: a box with a key that waits, a `Bundle`. Out: a box that signs with that key. Everything is checked before anything
is changed, and the last step, the link `keys/production`, is the one that counts.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from device.certificates import Purpose, der, key_id, verdict_purpose
from device.config import Config
from device.errors import ConfigurationError, InputError, ProtocolViolation
from device.notary.keystore.file import read_private
from device.protocol import NOTARY_MESSAGES, Key, encode
from device.verify import certificate_path
from provisioning.authority import pem
from provisioning.box import REQUEST_FILE, TRANSPORT_FILE, BoxFolder, change_config
from provisioning.bundle import Bundle, open_pseudonym_key
from provisioning.files import clear_parts, point, write_atomic
from provisioning.ownership import NOTARY, acting_as
from provisioning.request import parse_request


@dataclass(frozen=True)
class Enrolled:
    """What the box is now. `changed` is False if it was that already."""

    name: str
    kid: str
    issuer: str
    expires: datetime.datetime
    changed: bool


def install_bundle(box: BoxFolder, bundle: Bundle, now: datetime.datetime | None = None) -> Enrolled:
    """Puts `bundle` into use.

    Raises:
        InputError: the certificates are not for this box's key, are no production certificates, do not lead to their
            root, or are not valid now.
        ConfigurationError: there is no key that waits, or something cannot be written.
    """
    moment = now or datetime.datetime.now(datetime.UTC)
    chain = bundle.certificates
    with acting_as(NOTARY):
        folder = _folder_of(box, chain[0])
        for place in (box.keys, folder):
            clear_parts(place)
        check_chain(chain, moment)
        _keep_pseudonym_key(box, folder, bundle)
        before = _bytes(folder / "chain.pem")
        for name, wanted in (("root.pem", pem(chain[-1:])), ("chain.pem", pem(chain))):
            if _bytes(folder / name) != wanted:
                write_atomic(folder / name, wanted)
        moved = box.current() != folder
        if box.production.is_dir() and not box.production.is_symlink():
            raise ConfigurationError(f"{box.production} was not made by this tool; wipe the box, or move it away")
    after = change_config(box, lambda config: _with_issuer(config, bundle.issuer))
    with acting_as(NOTARY):
        if moved:
            point(box.production, folder.name)
        (folder / TRANSPORT_FILE).unlink(missing_ok=True)
    return Enrolled(
        name=parse_request((folder / REQUEST_FILE).read_bytes()).name,
        kid=key_id(chain[0].public_key()),  # type: ignore[arg-type]
        issuer=after.config.notary.issuer,
        expires=chain[0].not_valid_after_utc,
        changed=moved or before != pem(chain) or after.config != box.config,
    )


def check_chain(chain: tuple[x509.Certificate, ...], moment: datetime.datetime) -> None:
    """Raises `InputError` unless a notary could sign production verdicts with it, and a verifier accept them."""
    purpose = verdict_purpose(chain[0])
    if purpose is not Purpose.PRODUCTION:
        raise InputError(
            f"this certificate is for {purpose or 'something other than'} verdicts; a box is enrolled for production"
        )
    if moment > chain[0].not_valid_after_utc:
        raise InputError(f"this certificate expired on {chain[0].not_valid_after_utc:%Y-%m-%d}; ask for a new one")
    if moment < chain[0].not_valid_before_utc:
        raise InputError(
            f"this certificate is valid from {chain[0].not_valid_before_utc:%Y-%m-%d %H:%M} UTC: set the clock"
        )
    if chain[-1].subject != chain[-1].issuer or not certificate_path(list(chain), chain[-1:], moment):
        raise InputError("these certificates do not lead from the box's to a root; ask the authority again")
    _require_telling(chain)


def _require_telling(chain: tuple[x509.Certificate, ...]) -> None:
    """The notary tells the gateway its key and chain in one message, or does not start."""
    told = Key(key_id(chain[0].public_key()), tuple(map(der, chain)), development=False)  # type: ignore[arg-type]
    try:
        NOTARY_MESSAGES.decode(encode(told))
    except ProtocolViolation as error:
        raise InputError(
            f"these {len(chain)} certificates do not fit into a message of the notary: a root with an RSA key of 4096 "
            "bits is too long; use a shorter chain, or EC keys"
        ) from error


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _folder_of(box: BoxFolder, leaf: x509.Certificate) -> Path:
    """The generation whose key this certificate is for, the newest of them."""
    generations = box.generations()
    if not generations:
        raise ConfigurationError("this box has no key: run `vouchbox-provision init` first")
    for folder in reversed(generations):
        if parse_request((folder / REQUEST_FILE).read_bytes()).key == leaf.public_key():
            return folder
    raise InputError("this certificate is for another box's key: give it to that box, or send this box's request again")


def _keep_pseudonym_key(box: BoxFolder, folder: Path, bundle: Bundle) -> None:
    transport = folder / TRANSPORT_FILE
    if not bundle.pseudonym_key or not transport.exists():
        return  # on a renewal the box has it
    key = load_pem_private_key(read_private(transport), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    secret = open_pseudonym_key(bundle, key)
    path = box.keys / "pseudonym.key"
    if not path.exists() or read_private(path) != secret:
        write_atomic(path, secret, mode=0o600)


def _with_issuer(config: Config, issuer: str) -> Config:
    if not issuer:
        return config
    return msgspec.structs.replace(config, notary=msgspec.structs.replace(config.notary, issuer=issuer))
