"""The key store port: something that signs verdicts and lets nobody have the key.

In: bytes to sign. Out: a JWS signature, the public key, the certificate chain, and a word about its own health.
A store implements `_load` and `_sign`; the concrete methods turn whatever a library throws into `KeyStoreError`
and check every signature before it leaves, so that a faulty store cannot spoil a verdict.
"""

from __future__ import annotations

import abc
import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from device.certificates import Purpose, VerdictKey, algorithm_of, key_id, verdict_purpose
from device.errors import KeyStoreError, VouchboxError

_COORDINATE: Final = 32  # octets of r and of s for ES256, RFC 7518 section 3.4
MAX_CHAIN: Final = 3  # leaf, issuing authority, root


class KeyStore(abc.ABC):
    """One verdict key with its certificates.

    Args:
        purpose: what the leaf certificate must allow. A production key with a development certificate is an error.
    """

    def __init__(self, purpose: Purpose) -> None:
        self.purpose = purpose
        self._chain: tuple[x509.Certificate, ...] = ()

    @property
    @abc.abstractmethod
    def description(self) -> str:
        """One line for the operator: kind and place."""

    @abc.abstractmethod
    def _load(self) -> tuple[x509.Certificate, ...]:
        """Makes the key ready and returns its chain, leaf first. Called again after a failure."""

    @abc.abstractmethod
    def _sign(self, data: bytes) -> bytes:
        """ES256: r || s, 64 octets (RFC 7518 section 3.4); Ed25519: 64 octets (RFC 8037)."""

    @abc.abstractmethod
    def _probe(self) -> None:
        """Raises if the key is gone or locked; cheap, and without side effects."""

    def certificate_chain(self) -> tuple[x509.Certificate, ...]:
        """Leaf first, up to the organisation's root. Raises `KeyStoreError`."""
        if not self._chain:
            try:
                chain = self._load()
            except VouchboxError:
                raise
            except Exception as error:
                raise KeyStoreError(f"{self.description}: {error}") from error
            self._check(chain)
            self._chain = chain
        return self._chain

    def _check(self, chain: tuple[x509.Certificate, ...]) -> None:
        if not 1 <= len(chain) <= MAX_CHAIN:
            raise KeyStoreError(f"{self.description}: the chain has {len(chain)} certificates; 1 to {MAX_CHAIN} go")
        if algorithm_of(chain[0].public_key()) is None:
            raise KeyStoreError(f"{self.description}: the key is neither P-256 nor Ed25519")
        found = verdict_purpose(chain[0])
        if found is not self.purpose:
            raise KeyStoreError(
                f"{self.description}: the certificate is for {found or 'something other than verdicts'}, "
                f"this store is for {self.purpose} verdicts; enrol the box again"
            )

    def public_key(self) -> VerdictKey:
        """Raises `KeyStoreError`."""
        key = self.certificate_chain()[0].public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey)
        return key

    @property
    def algorithm(self) -> str:
        """`ES256` or `EdDSA`. Raises `KeyStoreError`."""
        name = algorithm_of(self.public_key())
        assert name is not None
        return name

    @property
    def kid(self) -> str:
        """RFC 7638 thumbprint. Raises `KeyStoreError`."""
        return key_id(self.public_key())

    def sign(self, data: bytes) -> bytes:
        """A JWS signature over `data`, checked against the certificate.

        Raises:
            KeyStoreError: the store is gone or locked, or its key is not the one in the certificate.
        """
        key = self.public_key()
        try:
            signature = self._sign(data)
        except KeyStoreError:
            raise
        except Exception as error:
            raise KeyStoreError(f"{self.description} did not sign: {error}") from error
        if not verifies(key, signature, data):
            raise KeyStoreError(f"{self.description}: the key does not belong to the certificate; enrol the box again")
        return signature

    def health(self, now: datetime.datetime | None = None) -> str:
        """An empty string if verdicts can be signed now, else what is wrong and what to do."""
        moment = now or datetime.datetime.now(datetime.UTC)
        try:
            leaf = self.certificate_chain()[0]
            self._probe()
        except KeyStoreError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - whatever a driver throws is a state of health
            return f"{self.description}: {error}"
        if not leaf.not_valid_before_utc <= moment <= leaf.not_valid_after_utc:
            return (
                f"{self.description}: the certificate is valid from {leaf.not_valid_before_utc:%Y-%m-%d} "
                f"to {leaf.not_valid_after_utc:%Y-%m-%d}; renew it, or set the clock"
            )
        return ""

    def close(self) -> None:
        """Lets go of the device, if there is one."""


def verifies(key: VerdictKey, signature: bytes, data: bytes) -> bool:
    """Whether a JWS signature (ES256 or EdDSA, by the key's kind) is right."""
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
            return True
        if len(signature) != 2 * _COORDINATE:
            return False
        r, s = int.from_bytes(signature[:_COORDINATE], "big"), int.from_bytes(signature[_COORDINATE:], "big")
        key.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))
        return True
    except InvalidSignature:
        return False


def raw_signature(r: int, s: int) -> bytes:
    """r || s as JWS wants it (RFC 7518 section 3.4)."""
    return r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")
