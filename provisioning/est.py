"""Enrolment over Secure Transport (RFC 7030): the client, in the standard's own terms.

In: a service's address and how it is known (a CA file, or the SHA-256 of its certificate), a credential, a certificate
request. Out: certificates. Against `vouchbox-provision authority serve`, which speaks the same standard, it asks for
the whole enrolment bundle instead of the bare certificate.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from device.errors import ConfigurationError, InputError, PeerError
from provisioning.bundle import MAX_BUNDLE

WELL_KNOWN: Final = "/.well-known/est"
BUNDLE_TYPE: Final = "application/vouchbox-bundle+json"
_TIMEOUT: Final = 30.0


class PendingError(PeerError):
    """The service has the request and wants a person to look at it first (202, section 4.2.3)."""

    exit_code = 3

    def __init__(self, seconds: int, words: str = "") -> None:
        said = f" ({words})" if words else ""
        super().__init__(f"the enrolment service has the request and wants time{said}: run this again in {seconds} s")
        self.seconds = seconds


@dataclass(frozen=True)
class Service:
    """Where the service is and how it proves itself: `ca` is a PEM file, `fingerprint` the certificate's SHA-256 in
    hexadecimal. One of the two is needed: whoever stands between could otherwise enrol the box to himself.

    `client` is a PEM file with a certificate and its key, for services that know a device by that (section 3.3.2).
    """

    url: str
    ca: str = ""
    fingerprint: str = ""
    client: str = ""


class EstClient:
    """Speaks to one service.

    Args:
        service: where it is.
        authorization: the header's value for requests that need one, e.g. from `basic`.
    """

    def __init__(self, service: Service, authorization: str = "") -> None:
        try:
            target = urlsplit(service.url)
            port = target.port or 443
        except ValueError as error:
            raise ConfigurationError(f"{service.url!r} is no address of an enrolment service: {error}") from error
        if target.scheme != "https" or not target.hostname:
            raise ConfigurationError(f"{service.url!r}: an enrolment service's address begins with https://")
        if not service.ca and not service.fingerprint:
            raise ConfigurationError(
                "say how the service is known: --ca FILE, or --fingerprint of its certificate (SHA-256)"
            )
        if service.fingerprint and not re.fullmatch(r"[0-9a-f]{64}", _plain(service.fingerprint)):
            raise ConfigurationError(f"the fingerprint {service.fingerprint!r} is no SHA-256: 64 hexadecimal digits")
        self._host, self._port = target.hostname, port
        self._path = target.path.rstrip("/") if WELL_KNOWN in target.path else target.path.rstrip("/") + WELL_KNOWN
        self._service = service
        self._authorization = authorization

    def ca_certificates(self) -> tuple[x509.Certificate, ...]:
        """`/cacerts` (section 4.1). Raises `PeerError`."""
        body, _ = self._ask("GET", "cacerts", None, {})
        return _certificates(body)

    def enrol(self, request: bytes, *, again: bool = False) -> bytes:
        """`/simpleenroll`, or `/simplereenroll` (section 4.2).

        Args:
            request: PKCS #10, PEM.
            again: this is a renewal.

        Returns:
            An enrolment bundle, or the PEM chain that the service's answer and its `/cacerts` make.

        Raises:
            PendingError: it will be issued later; ask again.
            PeerError: the service cannot be reached, is another one, refuses, or answers what EST does not allow.
        """
        der = x509.load_pem_x509_csr(request).public_bytes(Encoding.DER)
        headers = {
            "Content-Type": "application/pkcs10",
            "Content-Transfer-Encoding": "base64",
            "Accept": f"{BUNDLE_TYPE}, application/pkcs7-mime;q=0.5",
        }
        operation = "simplereenroll" if again else "simpleenroll"
        body, kind = self._ask("POST", operation, base64.encodebytes(der), headers)
        if kind == BUNDLE_TYPE:
            return body
        return order_chain(_certificates(body)[0], self.ca_certificates())

    def _ask(self, method: str, operation: str, body: bytes | None, headers: dict[str, str]) -> tuple[bytes, str]:
        connection = self._connect()
        try:
            if self._authorization and method == "POST":
                headers = {**headers, "Authorization": self._authorization}
            connection.request(method, f"{self._path}/{operation}", body, headers)
            answer = connection.getresponse()
            data = answer.read(MAX_BUNDLE + 1)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise PeerError(f"{self._service.url} broke off: {error}; run this again") from error
        finally:
            connection.close()
        if answer.status == 202:
            seconds = int(answer.headers["Retry-After"]) if _number(answer.headers) else 60
            raise PendingError(seconds, data[:200].decode(errors="replace").strip())
        if answer.status != 200 or len(data) > MAX_BUNDLE:
            words = data[:300].decode(errors="replace").strip()
            raise PeerError(f"{self._service.url} answered {answer.status} to {operation}: {words or answer.reason}")
        return data, answer.headers.get_content_type()

    def _connect(self) -> http.client.HTTPSConnection:
        try:
            context = ssl.create_default_context(cafile=self._service.ca or None)
            if self._service.fingerprint:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self._service.client:
                context.load_cert_chain(self._service.client)
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=_TIMEOUT, context=context)
            connection.connect()
        except (OSError, UnicodeError) as error:  # a host name can be more than a name server is asked for
            raise PeerError(f"cannot reach {self._service.url}: {error}; address, network, and --ca right?") from error
        if self._service.fingerprint:
            self._require_fingerprint(connection)
        return connection

    def _require_fingerprint(self, connection: http.client.HTTPSConnection) -> None:
        assert isinstance(connection.sock, ssl.SSLSocket)
        found = hashlib.sha256(connection.sock.getpeercert(binary_form=True) or b"").hexdigest()
        wanted = _plain(self._service.fingerprint)
        if not hmac.compare_digest(found, wanted):
            connection.close()
            raise PeerError(
                f"{self._service.url} is not the service that was named: its certificate is {found}, not {wanted}"
            )


def _plain(fingerprint: str) -> str:
    return fingerprint.replace(":", "").lower()


def basic(name: str, secret: str) -> str:
    """HTTP Basic (RFC 7617), which EST uses inside TLS (section 3.2.3)."""
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def order_chain(leaf: x509.Certificate, others: tuple[x509.Certificate, ...]) -> bytes:
    """PEM of `leaf` and its issuers up to a self-signed one. Raises `PeerError` if the service did not give them."""
    chain = [leaf]
    while chain[-1].issuer != chain[-1].subject:
        above = [one for one in others if one.subject == chain[-1].issuer and one not in chain]
        if not above:
            raise PeerError("the service's /cacerts do not lead from the box's certificate to a root")
        chain.append(above[0])
    return b"".join(one.public_bytes(Encoding.PEM) for one in chain)


def _certificates(body: bytes) -> tuple[x509.Certificate, ...]:
    """A certs-only PKCS #7 in base64 (RFC 7030 sections 4.1.3 and 4.2.3)."""
    try:
        found = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
    except (ValueError, binascii.Error) as error:
        raise PeerError("the service's answer is no certs-only PKCS #7; is this an EST service?") from error
    if not found:
        raise PeerError("the service's answer holds no certificate")
    return tuple(found)


def _number(headers: http.client.HTTPMessage) -> bool:
    return headers.get("Retry-After", "").isdecimal()


def read_secret(path: Path) -> str:
    """The first line of a file that holds a password or code. Raises `InputError`."""
    try:
        return path.read_text(encoding="utf-8").splitlines()[0].strip()
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise InputError(f"cannot read a secret from {path}") from error
