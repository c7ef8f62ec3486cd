"""Renewing a box's key before its certificate expires, with overlap: the old key signs until the new one can.

In: an enrolled box; on the authority's side its proof. Out: a new generation of the key that signs. The proof is a JWS
over the new request by the old key, since a box's key may sign for nothing else, TLS included.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import json
import shutil
import time
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from device.certificates import Purpose, algorithm_of
from device.errors import ConfigurationError, InputError
from device.jose import MAX_TOKEN, VerdictRegistry
from device.notary.keystore.base import KeyStore
from device.notary.verdict import sign_claims
from provisioning.box import BoxFolder
from provisioning.files import clear_parts
from provisioning.office import RENEW_SHARE
from provisioning.ownership import NOTARY, acting_as
from provisioning.registry import Issued, Registry

PROOF_TYPE: Final = "vouchbox-renewal+jwt"
_SKEW: Final = 300


def is_due(leaf: x509.Certificate, now: datetime.datetime) -> bool:
    """Whether less than a third of the certificate's lifetime is left."""
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    return leaf.not_valid_after_utc - now <= lifetime * RENEW_SHARE


def sign_renewal(store: KeyStore, request_pem: bytes, now: int | None = None) -> str:
    """The proof that the owner of the current key wants this request answered. Raises `KeyStoreError`."""
    der = x509.load_pem_x509_csr(request_pem).public_bytes(Encoding.DER)
    claims = {"iat": int(time.time()) if now is None else now, "request_sha256": hashlib.sha256(der).hexdigest()}
    return sign_claims(claims, store, type_=PROOF_TYPE)


def check_renewal(registry: Registry, proof: str, request_der: bytes) -> Issued:
    """The certificate whose key signed `proof` over this request.

    Raises:
        InputError: it is no proof, not for this request, not of now, or its certificate was not issued here, has
        expired
            or was revoked.
    """
    header = _header(proof)
    if header.get("typ") != PROOF_TYPE or not isinstance(header.get("x5c"), list) or not header["x5c"]:
        raise InputError("a renewal carries a proof signed by the key that is renewed")
    try:
        leaf = x509.load_der_x509_certificate(base64.b64decode(str(header["x5c"][0]), validate=True))
    except (ValueError, binascii.Error) as error:
        raise InputError("the renewal's certificate cannot be read") from error
    issued = _issued(registry, leaf)
    claims = _claims(proof, leaf)
    if claims.get("request_sha256") != hashlib.sha256(request_der).hexdigest():
        raise InputError("the renewal's proof is for another request")
    if type(claims.get("iat")) is not int or abs(time.time() - claims["iat"]) > _SKEW:
        raise InputError("the renewal's proof is not of now: compare the box's clock")
    return issued


def _issued(registry: Registry, leaf: x509.Certificate) -> Issued:
    found = registry.find(f"{leaf.serial_number:x}")
    der = leaf.public_bytes(Encoding.DER)
    issued = next((one for one in found if one.der == der and one.purpose == Purpose.PRODUCTION and one.box), None)
    if issued is None:
        raise InputError("this authority did not issue the certificate that asks for a renewal")
    if issued.revoked is not None:
        raise InputError("the certificate that asks for a renewal was revoked")
    if issued.expires < time.time():
        raise InputError("the certificate that asks for a renewal has expired: enrol the box again, with a new code")
    return issued


def _header(proof: str) -> dict[str, Any]:
    if not 0 < len(proof) <= MAX_TOKEN or not proof.isascii() or proof.count(".") != 2:
        raise InputError("a renewal carries a proof signed by the key that is renewed")
    part = proof.split(".", 1)[0]
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError) as error:
        raise InputError("the renewal's proof cannot be read") from error
    return value if isinstance(value, dict) else {}


def _claims(proof: str, leaf: x509.Certificate) -> dict[str, Any]:
    public = leaf.public_key()
    kind = ECKey if algorithm_of(public) == "ES256" else OKPKey
    try:
        key = kind.import_key(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        value = json.loads(jws.deserialize_compact(proof, key, registry=VerdictRegistry()).payload)
    except (JoseError, ValueError, RecursionError) as error:
        raise InputError("the renewal's proof has a wrong signature") from error
    return value if isinstance(value, dict) else {}


def retire_old_keys(box: BoxFolder) -> int:
    """Destroys the generations before the one that signs, once that one has signed something. Returns how many.

    Raises:
        ConfigurationError: the new key does not sign; the old ones stay.
    """
    store = box.store()
    current = box.current()
    generations = box.generations()
    if store is None or current not in generations:
        raise ConfigurationError("this box has no key that signs")
    with acting_as(NOTARY):
        try:
            store.sign(b"vouchbox: does the new key sign?")
        finally:
            store.close()
        old = generations[: generations.index(current)]  # a newer one waits for its certificate
        for folder in old:
            (folder / "key.pem").unlink(missing_ok=True)  # the secret first
            shutil.rmtree(folder)
        clear_parts(box.keys)
    return len(old)
