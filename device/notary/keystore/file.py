"""A key in a file: for development, and for boxes that have neither a TPM nor a secure element.

In: a folder with `key.pem` (PKCS #8, P-256 or Ed25519) and `chain.pem` (leaf first). Out: a `KeyStore`.
The key must be a plain file, owned by this process's user and readable by nobody else; anything laxer is refused.
The self-test says that this is weaker than hardware; `sealed.py` keeps such a key encrypted on disk.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from device.certificates import Purpose
from device.errors import KeyStoreError
from device.files import put_new
from device.notary.keystore.base import KeyStore, raw_signature

_MAX_FILE = 64 * 1024


class FileKeyStore(KeyStore):
    """Reads the key when it is first needed and keeps it in memory.

    Args:
        folder: holds `key.pem` and `chain.pem`.
        purpose: production and development keys live in folders apart.
    """

    def __init__(self, folder: Path, purpose: Purpose) -> None:
        super().__init__(purpose)
        self._folder = folder
        self._key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | None = None

    @property
    def description(self) -> str:
        return f"{self.purpose} key in {self._folder}"

    def _load(self) -> tuple[x509.Certificate, ...]:
        chain = read_chain(self._folder)
        key = load_pem_private_key(self._secret(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
            raise KeyStoreError(f"{self.description}: the key is neither P-256 nor Ed25519")
        if key.public_key() != chain[0].public_key():
            raise KeyStoreError(f"{self._folder}: the key does not belong to the certificate; enrol the box again")
        self._key = key
        return chain

    def _secret(self) -> bytes:
        """The key, PKCS #8 in PEM. Raises `KeyStoreError`."""
        return read_private(self._folder / "key.pem")

    def _sign(self, data: bytes) -> bytes:
        assert self._key is not None
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(data)
        return raw_signature(*decode_dss_signature(self._key.sign(data, ec.ECDSA(hashes.SHA256()))))

    def _probe(self) -> None:
        check_private(self._folder / "key.pem")


def read_chain(folder: Path) -> tuple[x509.Certificate, ...]:
    """`chain.pem` of a key's folder, leaf first. Raises `KeyStoreError`."""
    path = folder / "chain.pem"
    try:
        return tuple(x509.load_pem_x509_certificates(_read(path)))
    except ValueError as error:
        raise KeyStoreError(f"{path} holds no PEM certificates; enrol the box") from error


def check_private(path: Path) -> None:
    """Raises `KeyStoreError` unless `path` is a plain file of this user that nobody else can read."""
    try:
        status = path.lstat()
    except OSError as error:
        raise KeyStoreError(f"cannot read {path} ({error.strerror}); enrol the box") from error
    if not stat.S_ISREG(status.st_mode):
        raise KeyStoreError(f"{path} is not a plain file")
    if status.st_uid != os.geteuid():
        raise KeyStoreError(f"{path} belongs to user {status.st_uid}, not to {os.geteuid()}; chown it")
    if status.st_mode & 0o077:
        raise KeyStoreError(f"{path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o}); chmod 600 it")


def read_private(path: Path) -> bytes:
    """The bytes of a file that only this user can read. Raises `KeyStoreError`."""
    check_private(path)
    return _read(path)


def write_private(path: Path, data: bytes) -> None:
    """Writes a new file that only this user can read, on disk before this returns, whole or not at all. Raises
    `FileExistsError`."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    put_new(path, data)


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise KeyStoreError(f"cannot read {path} ({error.strerror}); enrol the box") from error
    if not 0 < len(data) <= _MAX_FILE:
        raise KeyStoreError(f"{path} is {len(data)} bytes long; that is no key file")
    return data
