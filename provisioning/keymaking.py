"""Makes the key that will sign verdicts, in the best place there is, and its certificate request.

In: the box, the kind of key store. Out: a new generation folder (key or what leads to it, `request.pem`, and the key
that the authority encrypts for), complete or not there at all. A key store's private key is never seen here, except
where it is a file.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from device.certificates import Purpose
from device.errors import ConfigurationError, KeyStoreError
from provisioning.box import REQUEST_FILE, TRANSPORT_FILE, BoxFolder
from provisioning.files import new_folder, write_atomic
from provisioning.request import RemoteKey, make_request, parse_request

TPM_DEVICE: Final = Path("/dev/tpmrm0")


def best_keystore(device: Path = TPM_DEVICE) -> str:
    """`tpm` where there is a TPM and the library for it, else `file`."""
    return "tpm" if device.exists() and find_spec("tpm2_pytss") is not None else "file"


def new_generation(box: BoxFolder, name: str, ueid: bytes, pcrs: str = "") -> Path:
    """A new key with its request. A generation that waits for its certificate already is the answer, not a second one.

    Args:
        box: initialised as far as its folders.
        name: the box's name.
        ueid: its identity.
        pcrs: registers to bind a TPM key to; empty: those of the key before it, if that one is bound.

    Raises:
        ConfigurationError: the waiting generation is another box's, or its folder cannot be written.
        KeyStoreError: the key store refuses.
    """
    waiting = box.waiting()
    if waiting is not None:
        if parse_request((waiting / REQUEST_FILE).read_bytes()).name == name:
            return waiting
        raise ConfigurationError(f"{waiting} waits for the certificate of another name; wipe the box to start anew")
    before = box.generations()[-1:]
    number = int(before[0].name.rsplit("-", 1)[1]) + 1 if before else 1
    folder = box.keys / f"generation-{number}"
    with new_folder(folder) as fresh:
        key, close = _make_key(box, fresh, pcrs or _pcrs_of(before))
        transport = ec.generate_private_key(ec.SECP256R1())
        secret = transport.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_atomic(fresh / TRANSPORT_FILE, secret, mode=0o600)
        try:
            write_atomic(fresh / REQUEST_FILE, make_request(name, ueid.hex(), key, transport.public_key()))
        finally:
            close()
    return folder


Made = tuple[ec.EllipticCurvePrivateKey, Callable[[], None]]
"""A key that can sign its request, and what lets go of the device that it is in."""


def _pcrs_of(before: list[Path]) -> str:
    from device.notary.keystore.tpm import chosen_pcrs

    return chosen_pcrs(before[0]) if before else ""


def _make_key(box: BoxFolder, folder: Path, pcrs: str) -> Made:
    kind, _, rest = box.config.notary.keystore.partition(":")
    if pcrs and kind != "tpm":
        raise ConfigurationError(f"only a key in a TPM can be bound to PCRs, and notary.keystore is {kind}")
    if kind in ("file", "sealed") and not rest:
        return _file_key(folder, sealed=kind == "sealed"), lambda: None
    if kind == "tpm":
        return _tpm_key(folder, rest, pcrs)
    if kind == "pkcs11":
        return _pkcs11_key(folder, box.config.notary.keystore)
    raise ConfigurationError(
        f"notary.keystore {box.config.notary.keystore!r}: init makes keys in file, sealed, tpm or pkcs11:…"
    )


def _file_key(folder: Path, *, sealed: bool) -> ec.EllipticCurvePrivateKey:
    from device.notary.keystore.sealed import KEY_FILE, seal

    key = ec.generate_private_key(ec.SECP256R1())
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    name, data = (KEY_FILE, seal(plain)) if sealed else ("key.pem", plain)
    write_atomic(folder / name, data, mode=0o600)
    return key


def _tpm_key(folder: Path, tcti: str, pcrs: str) -> Made:
    from device.notary.keystore.tpm import DEFAULT_TCTI, TpmKeyStore, create_tpm_key

    public = create_tpm_key(folder, tcti or DEFAULT_TCTI, pcrs)
    store = TpmKeyStore(folder, Purpose.PRODUCTION, tcti)
    return _remote(public, store._sign), store.close


def _pkcs11_key(folder: Path, uri_text: str) -> Made:
    """A token keeps its key through renewals: the URI in the configuration names it, and a name can be had once."""
    from device.notary.keystore.pkcs11 import Pkcs11KeyStore, create_pkcs11_key, find_pkcs11_key, parse_uri

    uri = parse_uri(uri_text)
    public = find_pkcs11_key(uri) or create_pkcs11_key(uri)
    store = Pkcs11KeyStore(folder, Purpose.PRODUCTION, uri)
    return _remote(public, store._sign), store.close


def _remote(public: ec.EllipticCurvePublicKey, sign: Callable[[bytes], bytes]) -> RemoteKey:
    # A store signs for others only with its certificate; there is none yet, so its own `_sign` is asked.
    def sign_raw(data: bytes) -> bytes:
        try:
            return sign(data)
        except KeyStoreError:
            raise
        except Exception as error:
            raise KeyStoreError(f"the new key did not sign its certificate request: {error}") from error

    return RemoteKey(public, sign_raw)
