"""The organisation's enrolment service: `vouchbox-provision authority serve`.

In: an authority's folder, one-time codes that the organisation made for its boxes. Out: an EST service (RFC 7030) whose
HTTP Basic credential is a box's name and its code, and the status list at `/status-list`. A code works once, for one
box and one key; the same box that was cut off and asks again gets the same certificate. A renewal needs no code: it is
signed by the key that is renewed. Where boxes may ask without a code they get 202 until a person has approved the code
that the box shows, which names its key (section 4.2.3: manual authorisation).
"""

from __future__ import annotations

import base64
import binascii
import datetime
import ipaddress
import logging
import threading
import time
from pathlib import Path
from typing import Any, Final

from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from cryptography.x509.oid import NameOID
from flask import Flask, Response, request

from device.errors import InputError, VouchboxError
from provisioning.authority import pem
from provisioning.bundle import encode_bundle
from provisioning.codes import code_digest, random_code, shown_code
from provisioning.est import BUNDLE_TYPE, WELL_KNOWN
from provisioning.files import new_folder, write_atomic
from provisioning.office import Office
from provisioning.renewal import check_renewal
from provisioning.request import MAX_REQUEST, Request, parse_request
from provisioning.status_list import sign_status_list

log = logging.getLogger(__name__)

CODE_HOURS: Final = 24
RETRY_SECONDS: Final = 10
"""How soon a box whose approval is awaited should ask again (RFC 7030 section 4.2.3)."""
_PKCS7: Final = "application/pkcs7-mime; smime-type=certs-only"


def new_code(office: Office, name: str, hours: int = CODE_HOURS) -> str:
    """A code for one box. Only its SHA-256 is kept."""
    code = random_code()
    office.registry.add_code(code_digest(code), name, int(time.time()) + hours * 3600)
    return code


def make_app(office: Office, *, by_hand: bool = False) -> Flask:
    """The WSGI application. One request is dealt with at a time: SQLite would make them wait anyway.

    Args:
        office: open.
        by_hand: boxes without a code may ask, and wait for a person's approval.
    """
    app = Flask("vouchbox-authority")
    app.config["MAX_CONTENT_LENGTH"] = 2 * MAX_REQUEST
    lock = threading.Lock()

    @app.get(f"{WELL_KNOWN}/cacerts")
    def cacerts() -> Response:
        return _pkcs7(list(office.chain()))

    @app.post(f"{WELL_KNOWN}/simpleenroll")
    def simpleenroll() -> Response:
        with lock:
            return _guarded(lambda: _ask_to_wait(office) if by_hand and not request.authorization else _enrol(office))

    @app.post(f"{WELL_KNOWN}/simplereenroll")
    def simplereenroll() -> Response:
        with lock:
            return _guarded(lambda: _renew(office))

    @app.get("/status-list")
    def status_list() -> Response:
        with lock:
            settings, registry = office.settings, office.registry
            token = sign_status_list(
                office.signer(), settings.status_uri, registry.revoked(), registry.size(), days=settings.list_days
            )
        return Response(token, mimetype="application/statuslist+jwt")

    return app


def _enrol(office: Office) -> Response:
    wanted = _request_body()
    credential = request.authorization
    name = (credential.username or "") if credential is not None and credential.type == "basic" else ""
    digest = code_digest((credential.password or "") if credential is not None and name else "")
    code = office.registry.code(digest) if name else None
    if code is None or code.name != name or code.expires < time.time():
        log.warning("a code was refused for %s", name[:63].encode("ascii", "replace"))
        return _refusal(401, "this code is not known for this box, or has expired; ask for a new one")
    if wanted.name != name:
        return _refusal(403, f"the request names another box than the code, which is for {name}")
    if code.kid not in (None, wanted.kid):
        return _refusal(403, "this code has been used, by another key; ask for a new one")
    return _answer(office, wanted, digest)


def _ask_to_wait(office: Office) -> Response:
    wanted = _request_body()
    waiting = office.registry.wait(wanted.kid, wanted.name, wanted.box, int(time.time()))
    if waiting.approved is not None:
        return _answer(office, wanted, "")
    log.info("%s waits for approval, code %s", wanted.name, shown_code(wanted.kid))
    answer = _refusal(202, f"{wanted.name} waits for the approval of its code {shown_code(wanted.kid)}")
    answer.headers["Retry-After"] = str(RETRY_SECONDS)
    return answer


def _renew(office: Office) -> Response:
    body = _body_der()
    header = request.headers.get("Authorization", "")
    proof = header.removeprefix("Bearer ") if header.startswith("Bearer ") else ""
    before = check_renewal(office.registry, proof, body)
    wanted = parse_request(body)
    if (wanted.name, wanted.box) != (before.name, before.box):
        return _refusal(403, f"a renewal is for the same box: {before.name}")
    return _answer(office, wanted, "")


def _answer(office: Office, wanted: Request, code: str) -> Response:
    bundle = office.issue(wanted, code=code)
    log.info("issued to %s, key %s", wanted.name, wanted.kid)
    if BUNDLE_TYPE in request.headers.get("Accept", ""):
        return Response(encode_bundle(bundle), mimetype=BUNDLE_TYPE)
    return _pkcs7([bundle.certificates[0]])


def _body_der() -> bytes:
    try:
        return base64.b64decode(request.get_data(), validate=False)
    except (binascii.Error, ValueError) as error:
        raise InputError("the request is not base64 (RFC 7030 section 4.2.1)") from error


def _request_body() -> Request:
    return parse_request(_body_der())


def _guarded(act: Any) -> Response:
    try:
        answer = act()
        assert isinstance(answer, Response)
        return answer
    except InputError as error:
        return _refusal(400, str(error))
    except VouchboxError as error:
        log.error("%s", error)
        return _refusal(500, "the authority cannot issue now; its log says why")


def _refusal(status: int, words: str) -> Response:
    answer = Response(words + "\n", status=status, mimetype="text/plain")
    if status == 401:
        answer.headers["WWW-Authenticate"] = 'Basic realm="vouchbox enrolment"'
    return answer


def _pkcs7(certificates: list[x509.Certificate]) -> Response:
    body = base64.encodebytes(pkcs7.serialize_certificates(certificates, Encoding.DER))
    return Response(body, content_type=_PKCS7, headers={"Content-Transfer-Encoding": "base64"})


def service_identity(folder: Path, host: str) -> tuple[Path, Path, str]:
    """The service's own TLS certificate and key (self-signed, made once for `host`) and the certificate's SHA-256."""
    place = folder / f"service-{host.replace(':', '_')}"
    if not place.is_dir():
        with new_folder(place) as fresh:
            key = ec.generate_private_key(ec.SECP256R1())
            write_atomic(fresh / "certificate.pem", pem((_self_signed(key, host),)))
            secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_atomic(fresh / "key.pem", secret, mode=0o600)
    certificate = place / "certificate.pem"
    fingerprint = x509.load_pem_x509_certificate(certificate.read_bytes()).fingerprint(hashes.SHA256()).hex()
    return certificate, place / "key.pem", fingerprint


def _self_signed(key: ec.EllipticCurvePrivateKey, host: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=825))
        .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _general_name(host: str) -> x509.GeneralName:
    """An address is one only as an iPAddress (RFC 9110 section 4.3.5): clients do not take it as a name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def make_server(office: Office, host: str, port: int, certificate: Path, key: Path, *, by_hand: bool = False) -> Server:
    """A TLS server, ready to `start()`."""
    server = Server((host, port), make_app(office, by_hand=by_hand), numthreads=4, request_queue_size=64, timeout=30)
    server.ssl_adapter = BuiltinSSLAdapter(str(certificate), str(key))
    return server
