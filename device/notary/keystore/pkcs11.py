"""A key behind PKCS #11: a secure element, a YubiHSM, a smart card, SoftHSM.

In: a PKCS #11 URI (RFC 7512) with the token's and the key's label, the module and where the PIN is; a folder with
`chain.pem`. Out: a `KeyStore` that signs ES256. Needs python-pkcs11
(extra `[pkcs11]`), imported only when this store is opened.

    pkcs11:token=vouchbox;object=verdict?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/vouchbox/pin
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from cryptography.hazmat.primitives.asymmetric import ec

from device.certificates import Purpose
from device.errors import ConfigurationError, KeyStoreError
from device.notary.keystore.file import read_private
from device.notary.keystore.hardware import HardwareKeyStore, words

_PATH_KEYS: Final = {"token", "object"}
_QUERY_KEYS: Final = {"module-path", "pin-source"}


@dataclass(frozen=True)
class Uri:
    """The parts of a PKCS #11 URI that we use; all of them are needed."""

    token: str
    object: str
    module_path: str
    pin_source: Path


def parse_uri(text: str) -> Uri:
    """Raises `ConfigurationError` naming what is missing or not understood."""
    scheme, _, rest = text.partition(":")
    path, _, query = rest.partition("?")
    given: dict[str, str] = {}
    for part, known in [(part, _PATH_KEYS) for part in path.split(";")] + [
        (part, _QUERY_KEYS) for part in query.split("&")
    ]:
        name, _, value = part.partition("=")
        if part and name not in known:
            raise ConfigurationError(f"notary.keystore: {name!r} in a PKCS #11 URI is not understood")
        given[name] = unquote(value)
    missing = [name for name in sorted(_PATH_KEYS | _QUERY_KEYS) if not given.get(name)]
    if scheme != "pkcs11" or missing:
        raise ConfigurationError(f"notary.keystore: the PKCS #11 URI lacks {', '.join(missing) or 'its scheme'}")
    pin = given["pin-source"].removeprefix("file://").removeprefix("file:")
    return Uri(given["token"], given["object"], given["module-path"], Path(pin))


class Pkcs11KeyStore(HardwareKeyStore):
    """Keeps a session open; opens another after the token was away.

    Args:
        folder: holds `chain.pem`.
        purpose: what the certificate must allow.
        uri: where the key is.
    """

    def __init__(self, folder: Path, purpose: Purpose, uri: Uri) -> None:
        super().__init__(folder, purpose)
        self._uri = uri
        self._session: Any = None
        self._key: Any = None

    @property
    def description(self) -> str:
        return f"{self.purpose} key {self._uri.object!r} in the PKCS #11 token {self._uri.token!r}"

    def _sign(self, data: bytes) -> bytes:
        from pkcs11 import Mechanism

        digest = hashlib.sha256(data).digest()  # CKM_ECDSA signs a digest and answers r || s, as JWS wants it
        return bytes(self._ask(lambda: self._key.sign(digest, mechanism=Mechanism.ECDSA)))

    def _probe(self) -> None:
        from pkcs11 import Attribute

        self._ask(lambda: self._key[Attribute.LABEL])

    def _open(self) -> None:
        if self._session is not None:
            return
        self._session = open_session(self._uri)
        self._key = _private_key(self._session, self._uri.object)

    def _drop(self) -> None:
        session, self._session = self._session, None
        self._key = None
        try:
            if session is not None:
                session.close()
        except Exception:  # noqa: BLE001, S110 - the token is gone, and with it the session
            pass


def _private_key(session: Any, label: str) -> Any:
    from pkcs11 import KeyType, ObjectClass

    return session.get_key(object_class=ObjectClass.PRIVATE_KEY, key_type=KeyType.EC, label=label)


def open_session(uri: Uri, *, write: bool = False) -> Any:
    """A session with the PIN given. Raises `KeyStoreError` if library, module, token or PIN are not right."""
    try:
        import pkcs11
    except ImportError as error:
        raise KeyStoreError("a PKCS #11 key store needs python-pkcs11: pip install 'vouchbox[pkcs11]'") from error
    pin = read_private(uri.pin_source).decode().strip()
    try:
        library = pkcs11.lib(uri.module_path)
        return library.get_token(token_label=uri.token).open(user_pin=pin, rw=write)
    except Exception as error:
        raise KeyStoreError(
            f"the PKCS #11 token {uri.token!r} ({uri.module_path}) does not open: {words(error)}; "
            "is it plugged in, is the PIN right, is it locked?"
        ) from error


def create_pkcs11_key(uri: Uri) -> ec.EllipticCurvePublicKey:
    """Makes a P-256 signing key in the token (sensitive, not extractable).

    Raises:
        KeyStoreError: the token does not open, refuses, or has a key of that name already.
    """
    from pkcs11 import Attribute, KeyType
    from pkcs11.exceptions import NoSuchKey
    from pkcs11.util.ec import encode_named_curve_parameters

    session = open_session(uri, write=True)
    try:
        try:
            _private_key(session, uri.object)
        except NoSuchKey:
            pass
        else:
            raise KeyStoreError(f"the PKCS #11 token {uri.token!r} has a key {uri.object!r} already")
        curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        public, _private = session.create_domain_parameters(KeyType.EC, curve, local=True).generate_keypair(
            store=True,
            label=uri.object,
            private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
        )
        point = bytes(public[Attribute.EC_POINT])
    except KeyStoreError:
        raise
    except Exception as error:
        raise KeyStoreError(f"the PKCS #11 token {uri.token!r} did not make a key: {words(error)}") from error
    finally:
        session.close()
    return _point(point)


def find_pkcs11_key(uri: Uri) -> ec.EllipticCurvePublicKey | None:
    """The public key that the token keeps under this name; None if it has none. Raises `KeyStoreError`."""
    session = open_session(uri)
    try:
        from pkcs11 import Attribute, ObjectClass
        from pkcs11.exceptions import NoSuchKey

        try:
            return _point(
                bytes(session.get_key(object_class=ObjectClass.PUBLIC_KEY, label=uri.object)[Attribute.EC_POINT])
            )
        except NoSuchKey:
            return None
    except Exception as error:
        raise KeyStoreError(f"the PKCS #11 token {uri.token!r} does not tell its key: {words(error)}") from error
    finally:
        session.close()


def destroy_pkcs11_key(uri: Uri) -> bool:
    """Destroys the key pair of this name in the token; False if there was none. Raises `KeyStoreError`."""
    session = open_session(uri, write=True)
    try:
        from pkcs11 import Attribute

        found = list(session.get_objects({Attribute.LABEL: uri.object}))
        for one in found:
            one.destroy()
        return bool(found)
    except Exception as error:
        raise KeyStoreError(f"the PKCS #11 token {uri.token!r} keeps its key: {words(error)}") from error
    finally:
        session.close()


def _point(point: bytes) -> ec.EllipticCurvePublicKey:
    # CKA_EC_POINT is the uncompressed point inside a DER OCTET STRING (PKCS #11 v3.0 section 2.3.3): 04 41 04 x y.
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point[2:] if len(point) == 67 else point)
