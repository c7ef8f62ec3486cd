"""The enrolment service over real TLS: EST in the standard's own terms, one-time codes, renewal with overlap."""

from __future__ import annotations

import base64
import datetime
import hashlib
import http.client
import json
import re
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from device.errors import ConfigurationError, InputError, PeerError
from device.notary.keys import open_keys
from device.notary.verdict import sign_claims
from device.status_list import read_status_list
from device.verify import verify_verdict
from provisioning import enrolment
from provisioning.codes import code_digest, plain, random_code, shown_code
from provisioning.enrolment import load_way
from provisioning.est import EstClient, PendingError, Service, basic, order_chain
from provisioning.office import Office
from provisioning.registry import Registry
from provisioning.renewal import PROOF_TYPE, check_renewal, is_due, sign_renewal
from provisioning.request import make_request, parse_request
from provisioning.service import make_server, new_code, service_identity
from tests.provisioning.conftest import Bench, facts, run
from tests.verdicts import AUDIENCE, NONCE, make_claims


@dataclass
class Running:
    """A service that listens, and how it is known."""

    url: str
    fingerprint: str
    certificate: Path
    office: Office

    @property
    def trust(self) -> Service:
        return Service(self.url, fingerprint=self.fingerprint)


@contextmanager
def running(bench: Bench, office: Office, *, by_hand: bool = False) -> Iterator[Running]:
    certificate, key, fingerprint = service_identity(bench.authority, "127.0.0.1")
    server = make_server(office, "127.0.0.1", 0, certificate, key, by_hand=by_hand)
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield Running(f"https://127.0.0.1:{server.bind_addr[1]}", fingerprint, certificate, office)
    server.stop()
    thread.join(10)


@pytest.fixture
def service(bench: Bench, office: Office) -> Iterator[Running]:
    with running(bench, office) as found:
        yield found


@pytest.fixture
def by_hand(bench: Bench, office: Office) -> Iterator[Running]:
    """A service at which boxes may ask without a code."""
    with running(bench, office, by_hand=True) as found:
        yield found


def enrol_by_code(bench: Bench, service: Running, code: str, name: str = "box-1"):  # type: ignore[no-untyped-def]
    bench.init(name)
    return bench.run("enrol", "--service", service.url, "--fingerprint", service.fingerprint, "--code", code, "--json")


def pem_request(name: str, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    return make_request(name, "01ab", key or ec.generate_private_key(ec.SECP256R1()), None)


# --- One-time codes --------------------------------------------------------------------------------------------------


def test_enrolled_by_code_and_again_after_being_cut_off(bench: Bench, service: Running) -> None:
    code = new_code(service.office, "box-1")
    assert enrol_by_code(bench, service, code).exit_code == 0
    kid = bench.facts("status")["kid"]
    assert (bench.state / "keys" / "pseudonym.key").read_bytes() == (bench.authority / "pseudonym.key").read_bytes()
    again = enrol_by_code(bench, service, code.lower().replace("-", " "))
    assert again.exit_code == 0
    assert '"changed": false' in again.stdout
    assert bench.facts("status")["kid"] == kid


def test_codes_that_do_not_work(bench: Bench, service: Running, tmp_path: Path) -> None:
    used = new_code(service.office, "box-1")
    assert enrol_by_code(bench, service, used).exit_code == 0
    other = Bench(tmp_path / "other")
    late = new_code(service.office, "box-2", hours=-1)
    for code, words in (
        (used, "not known for this box"),
        (late, "not known for this box, or has expired"),
        ("0000-0000-0000-0000", "not known"),
        (new_code(service.office, "box-3"), "not known for this box"),
    ):
        result = enrol_by_code(other, service, code, "box-2")
        assert result.exit_code == 2
        assert words in str(result.exception)
    assert len(service.office.registry.find("box-2")) == 0


def test_a_used_code_is_not_for_another_key(service: Running) -> None:
    code = new_code(service.office, "box-1")
    client = EstClient(service.trust, basic("box-1", code))
    client.enrol(pem_request("box-1"))
    with pytest.raises(PeerError, match="has been used, by another key"):
        client.enrol(pem_request("box-1"))


def test_a_code_is_for_its_box_only(service: Running) -> None:
    client = EstClient(service.trust, basic("box-1", new_code(service.office, "box-1")))
    with pytest.raises(PeerError, match="another box than the code"):
        client.enrol(pem_request("box-2"))


def test_codes_are_kept_as_hashes(bench: Bench, service: Running) -> None:
    code = new_code(service.office, "box-1")
    assert code_digest(code) == code_digest(code.replace("-", "").lower())
    for path in bench.authority.rglob("registry*"):
        data = path.read_bytes()
        assert code.encode() not in data
        assert code.replace("-", "").encode() not in data


# --- Approved by hand: the box shows a code --------------------------------------------------------------------------


def test_a_box_waits_until_its_code_is_approved(bench: Bench, by_hand: Running) -> None:
    code = bench.init()["code"]
    ask_for = ("enrol", "--service", by_hand.url, "--fingerprint", by_hand.fingerprint)
    for _ in range(2):
        waits = bench.run(*ask_for)
        assert (waits.exit_code, code in str(waits.exception)) == (3, True)
    (told,) = [json.loads(line) for line in run("authority", "waiting", bench.authority, "--json").stdout.splitlines()]
    assert (told["name"], told["code"]) == ("box-1", code)
    assert by_hand.office.registry.find("box-1") == []
    wrong = run("authority", "approve", bench.authority, "0000-0000-0000-0000", "--yes")
    assert (wrong.exit_code, "no box that waits shows" in str(wrong.exception)) == (2, True)
    assert facts("authority", "approve", bench.authority, code.lower(), "--yes")["name"] == "box-1"
    assert bench.run(*ask_for).exit_code == 0
    assert bench.facts("status")["stage"] == "enrolled"
    assert run("authority", "waiting", bench.authority).stdout == "no box waits\n"
    assert bench.facts("renew")["changed"], "and it renews by its key, as after a one-time code"


def test_a_box_that_waits_asks_by_itself(bench: Bench, by_hand: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    code = bench.init()["code"]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            by_hand.office.approve(code)

    monkeypatch.setattr(enrolment, "time", SimpleNamespace(sleep=sleep))
    done = bench.run("enrol", "--service", by_hand.url, "--fingerprint", by_hand.fingerprint, "--wait")
    assert (done.exit_code, slept) == (0, [10, 10])
    assert done.stderr.count(code) == 1, "said once"


def test_approving_one_key_is_not_approving_another_of_that_name(bench: Bench, by_hand: Running) -> None:
    code = bench.init()["code"]
    client = EstClient(by_hand.trust)
    impostors = pem_request("box-1")
    waiting = bench.box.waiting()
    assert waiting is not None
    for asked in (impostors, (waiting / "request.pem").read_bytes()):
        with pytest.raises(PendingError):
            client.enrol(asked)
    by_hand.office.approve(code)
    with pytest.raises(PendingError):
        client.enrol(impostors)


def test_a_waiting_room_is_finite(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provisioning.registry.MAX_WAITING", 2)
    for kid in ("a", "b", "a"):
        office.registry.wait(kid, "box", "", 1_000_000)
    with pytest.raises(ConfigurationError, match="wait for approval already"):
        office.registry.wait("c", "box", "", 1_000_001)
    assert [one.kid for one in office.registry.waiting()] == ["a", "b"]
    office.registry.wait("c", "box", "", 1_100_000)
    assert [one.kid for one in office.registry.waiting()] == ["c"], "whoever stopped asking is forgotten"


def test_codes_can_be_read_aloud() -> None:
    shown = shown_code("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")  # the thumbprint of RFC 7638 section 3.1
    assert shown == "6WVC-QCBR-FJW3-173Q"
    assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}", random_code())
    assert plain(" " + shown.lower().replace("-", " ").replace("1", "l")) == plain(shown)


# --- EST as others speak it ------------------------------------------------------------------------------------------


def ask(service: Running, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str, bytes]:
    context = ssl.create_default_context(cafile=str(service.certificate))
    host = service.url.removeprefix("https://")
    connection = http.client.HTTPSConnection(host, context=context, timeout=10)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.headers.get("Content-Type", ""), answer.read()


def test_the_standards_own_messages(service: Running) -> None:
    status, kind, body = ask(service, "GET", "/.well-known/est/cacerts")
    assert (status, kind) == (200, "application/pkcs7-mime; smime-type=certs-only")
    authorities = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
    assert sum(one.subject == one.issuer for one in authorities) == 1
    key = ec.generate_private_key(ec.SECP256R1())
    der = x509.load_pem_x509_csr(pem_request("box-1", key)).public_bytes(Encoding.DER)
    credential = basic("box-1", new_code(service.office, "box-1"))
    status, kind, body = ask(
        service,
        "POST",
        "/.well-known/est/simpleenroll",
        base64.encodebytes(der),
        Content_Type="application/pkcs10",
        Authorization=credential,
    )
    assert (status, kind) == (200, "application/pkcs7-mime; smime-type=certs-only")
    (leaf,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
    assert leaf.public_key() == key.public_key()
    leaf.verify_directly_issued_by(next(one for one in authorities if one.subject == leaf.issuer))


def test_curl_and_openssl_enrol(service: Running, tmp_path: Path) -> None:
    """Nothing of ours on the client's side: the words of RFC 7030 by two programs that know them."""
    if shutil.which("curl") is None or shutil.which("openssl") is None:
        pytest.skip("curl and openssl are not installed")

    def shell(line: str) -> str:
        ended = subprocess.run(["bash", "-ceu", "-o", "pipefail", line], capture_output=True, text=True, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    code = new_code(service.office, "box-1")
    est = f"{service.url}/.well-known/est"
    curl = f"curl --silent --show-error --fail --cacert {service.certificate}"
    shell("openssl ecparam -name prime256v1 -genkey -noout -out key.pem")
    shell("openssl req -new -key key.pem -subj /CN=box-1 -outform DER | openssl base64 >request.b64")
    post = "--data-binary @request.b64 -H 'Content-Type: application/pkcs10'"
    take = "openssl base64 -d | openssl pkcs7 -inform DER -print_certs"
    shell(f"{curl} -u box-1:{code} {post} {est}/simpleenroll | {take} -out leaf.pem")
    shell(f"{curl} {est}/cacerts | {take} -out authorities.pem")
    told = shell("openssl x509 -in leaf.pem -noout -pubkey; openssl ec -in key.pem -pubout 2>/dev/null")
    first, second = told.strip().split("-----END PUBLIC KEY-----\n", 1)
    assert first.strip() == second.replace("-----END PUBLIC KEY-----", "").strip()
    verified = shell("openssl verify -CAfile authorities.pem leaf.pem")
    assert verified.strip() == "leaf.pem: OK"


def test_no_credential_no_certificate(service: Running) -> None:
    body = base64.encodebytes(x509.load_pem_x509_csr(pem_request("box-1")).public_bytes(Encoding.DER))
    assert ask(service, "POST", "/.well-known/est/simpleenroll", body)[0] == 401
    assert ask(service, "POST", "/.well-known/est/simplereenroll", body)[0] == 400
    credential = basic("box-1", new_code(service.office, "box-1"))
    for bad in (b"", b"%%%"):
        status, _, words = ask(service, "POST", "/.well-known/est/simpleenroll", bad, Authorization=credential)
        assert status == 400
        assert b"Traceback" not in words


def test_a_request_of_any_size_is_not_read(service: Running) -> None:
    credential = basic("box-1", new_code(service.office, "box-1"))
    try:
        status, _, _ = ask(service, "POST", "/.well-known/est/simpleenroll", b"x" * 100_000, Authorization=credential)
    except OSError:  # it hung up before all had been sent, which is as good an answer
        status = 413
    assert status == 413


def test_another_est_server_gives_a_chain_to_a_root(service: Running, office: Office) -> None:
    leaf, *others = office.issue(parse_request(pem_request("b"))).certificates
    ordered = x509.load_pem_x509_certificates(order_chain(leaf, tuple(reversed(others))))
    assert ordered == [leaf, *others]
    with pytest.raises(PeerError, match="do not lead"):
        order_chain(leaf, tuple(others[1:]))


def test_the_status_list_is_served(bench: Bench, service: Running) -> None:
    status, kind, body = ask(service, "GET", "/status-list")
    assert (status, kind) == (200, "application/statuslist+jwt")
    root = x509.load_pem_x509_certificate((bench.authority / "root" / "chain.pem").read_bytes())
    assert read_status_list(body.decode(), [root], datetime.datetime.now(datetime.UTC))[1] == ""


# --- Who is the service ----------------------------------------------------------------------------------------------


def test_the_client_wants_to_know_the_service(service: Running) -> None:
    with pytest.raises(ConfigurationError, match="--fingerprint"):
        EstClient(Service(service.url))
    with pytest.raises(ConfigurationError, match="https://"):
        EstClient(Service("http://127.0.0.1", fingerprint="00"))


@pytest.mark.parametrize("url", ["https://e:84x3", "https://e:84433", "https://[e:1", "https://"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ConfigurationError, match="address"):
        EstClient(Service(url, fingerprint=64 * "0"))


@pytest.mark.parametrize("fingerprint", ["00", 64 * "ä", 64 * "0" + "0"])
def test_what_is_no_fingerprint(fingerprint: str) -> None:
    with pytest.raises(ConfigurationError, match="64 hexadecimal digits"):
        EstClient(Service("https://127.0.0.1:9", fingerprint=fingerprint))


def test_nothing_is_sent_to_another_service(service: Running) -> None:
    wrong = hashlib.sha256(b"another").hexdigest()
    with pytest.raises(PeerError, match="not the service that was named"):
        EstClient(Service(service.url, fingerprint=wrong), basic("box-1", "secret")).enrol(pem_request("box-1"))
    with pytest.raises(PeerError, match="cannot reach"):
        EstClient(Service("https://127.0.0.1:9", fingerprint=wrong)).ca_certificates()


def test_known_by_a_ca_file(service: Running, tmp_path: Path) -> None:
    url = service.url.replace("127.0.0.1", "localhost")
    assert len(EstClient(Service(service.url, ca=str(service.certificate))).ca_certificates()) == 2
    with pytest.raises(PeerError, match="cannot reach"):  # the certificate is for another name
        EstClient(Service(url, ca=str(service.certificate))).ca_certificates()
    other = tmp_path / "a"
    other.mkdir()
    stranger, _, _ = service_identity(other, "127.0.0.1")
    with pytest.raises(PeerError, match="cannot reach"):
        EstClient(Service(service.url, ca=str(stranger))).ca_certificates()


def test_enrolled_by_a_service_that_knows_only_the_standard(
    bench: Bench, service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers PKCS #7, and nothing of the organisation's settings: those stay the box's own."""
    monkeypatch.setattr("provisioning.service.BUNDLE_TYPE", "application/x-unknown")
    bench.init()
    own = (bench.state / "keys" / "pseudonym.key").read_bytes()
    (bench.folder / "password").write_text(new_code(service.office, "box-1") + "\n")
    trust = ("--service", service.url, "--fingerprint", service.fingerprint)
    said = bench.facts("enrol", *trust, "--password-file", bench.folder / "password")
    assert (said["changed"], said["issuer"]) == (True, "urn:vouchbox:unprovisioned")
    assert (bench.state / "keys" / "pseudonym.key").read_bytes() == own
    assert len(x509.load_pem_x509_certificates((bench.state / "keys/production/chain.pem").read_bytes())) == 3
    refused = bench.run("renew")
    assert "--password-file" in str(refused.exception)


@pytest.mark.parametrize(
    ("status", "headers", "body", "error", "words"),
    [
        ("202 Accepted", [("Retry-After", "90")], b"", PendingError, "again in 90 s"),
        ("202 Accepted", [("Retry-After", "Fri, 31 Dec 2027 23:59:59 GMT")], b"", PendingError, "again in 60 s"),
        ("200 OK", [("Content-Type", "application/pkcs7-mime")], b"AAAA", PeerError, "no certs-only PKCS #7"),
        ("200 OK", [("Content-Type", "text/html")], b"<html>" * 20_000, PeerError, "answered 200"),
        ("302 Found", [("Location", "https://elsewhere.example")], b"", PeerError, "answered 302"),
    ],
    ids=["wants-time", "wants-time-by-date", "no-pkcs7", "too-much", "elsewhere"],
)
def test_services_that_answer_otherwise(
    tmp_path: Path, status: str, headers: list[tuple[str, str]], body: bytes, error: type[PeerError], words: str
) -> None:
    certificate, key, fingerprint = service_identity(tmp_path, "127.0.0.1")

    def answer(environment: dict[str, object], start: Callable[..., object]) -> list[bytes]:
        start(status, headers)
        return [body]

    server = Server(("127.0.0.1", 0), answer)
    server.ssl_adapter = BuiltinSSLAdapter(str(certificate), str(key))
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        url = f"https://127.0.0.1:{server.bind_addr[1]}"
        with pytest.raises(error, match=words):
            EstClient(Service(url, fingerprint=fingerprint), basic("box-1", "x")).enrol(pem_request("box-1"))
    finally:
        server.stop()
        thread.join(10)
    assert PendingError(60).exit_code == 3


# --- Renewal ---------------------------------------------------------------------------------------------------------


def test_renewed_with_overlap(bench: Bench, service: Running) -> None:
    enrol_by_code(bench, service, new_code(service.office, "box-1"))
    old = open_keys(bench.box.config).production
    assert old is not None
    old.certificate_chain()  # a notary that runs has it loaded
    assert bench.run("renew", "--if-due").stdout.startswith("not due")
    assert bench.facts("renew")["kid"] != old.kid
    fresh = open_keys(bench.box.config).production
    assert fresh is not None
    root = x509.load_pem_x509_certificate((bench.authority / "root" / "chain.pem").read_bytes())
    for store in (old, fresh):  # the old key's verdicts stay good, and it signs until the notary starts again
        token = sign_claims(make_claims(), store)
        assert verify_verdict(token, trust=[root], expected_audience=AUDIENCE, expected_nonce=NONCE).valid
    assert [path.name for path in bench.box.generations()] == ["generation-2"]
    assert len(service.office.registry.find("box-1")) == 2


def test_a_revoked_box_is_not_renewed(bench: Bench, service: Running) -> None:
    enrol_by_code(bench, service, new_code(service.office, "box-1"))
    service.office.revoke("box-1", "stolen")
    result = bench.run("renew")
    assert result.exit_code == 2
    assert "was revoked" in str(result.exception)
    assert bench.facts("status")["renewal_waits"]
    production = open_keys(bench.box.config).production
    assert production is not None
    assert production.health() == ""


def test_renewed_by_file(bench: Bench) -> None:
    bench.enrol()
    first = bench.facts("status")["kid"]
    said = bench.facts("renew", "--request", bench.request)
    assert said["waiting"]
    assert bench.facts("renew", "--request", bench.request) == said
    assert bench.facts("status")["kid"] == first
    assert run("authority", "issue", bench.authority, bench.request).exit_code == 0
    assert bench.facts("enrol", "--bundle", bench.bundle)["kid"] != first
    assert [path.name for path in bench.box.generations()] == ["generation-2"]
    assert not bench.facts("enrol", "--bundle", bench.bundle)["changed"]


def test_renewed_below_a_state_folder_that_is_a_link(bench: Bench) -> None:
    """A key that waits is no old key, and the one that signs is found by its name."""
    (bench.folder / "disk").mkdir()
    bench.state.symlink_to(bench.folder / "disk")
    bench.enrol()
    assert bench.box.waiting() is None
    first = bench.bundle.read_bytes()
    bench.facts("renew", "--request", bench.request)
    assert run("authority", "issue", bench.authority, bench.request).exit_code == 0
    second = bench.bundle.read_bytes()
    for bundle, kept in ((first, ["generation-1", "generation-2"]), (second, ["generation-2"])):
        bench.bundle.write_bytes(bundle)
        bench.facts("enrol", "--bundle", bench.bundle)
        assert [path.name for path in bench.box.generations()] == kept
    assert bench.facts("status")["problems"] == []


def test_the_way_is_kept_by_whole_paths(bench: Bench, service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The timer that renews begins in another folder than the technician."""
    bench.init()
    code = new_code(service.office, "box-1")
    monkeypatch.chdir(service.certificate.parent)
    bench.facts("enrol", "--service", service.url, "--ca", service.certificate.name, "--code", code)
    assert load_way(bench.box).ca == str(service.certificate)
    monkeypatch.chdir("/")
    assert bench.facts("renew")["changed"]


def test_proofs_that_prove_nothing(bench: Bench, service: Running) -> None:
    enrol_by_code(bench, service, new_code(service.office, "box-1"))
    store = open_keys(bench.box.config).production
    assert store is not None
    request = pem_request("box-1")
    der = x509.load_pem_x509_csr(request).public_bytes(Encoding.DER)
    registry: Registry = service.office.registry
    good = sign_renewal(store, request)
    assert check_renewal(registry, good, der).name == "box-1"
    head, body, signature = good.split(".")
    stranger = sign_claims({"iat": int(time.time())}, store)  # a verdict-typed token is no proof
    for proof, words in (
        ("", "carries a proof"),
        ("a.b.c", "cannot be read"),
        (stranger, "carries a proof"),
        (f"{head}.{sign_renewal(store, pem_request('box-9')).split('.')[1]}.{signature}", "wrong signature"),
        (sign_renewal(store, pem_request("box-1")), "another request"),
        (sign_renewal(store, request, now=int(time.time()) - 900), "not of now"),
    ):
        with pytest.raises(InputError, match=words):
            check_renewal(registry, proof, der)
    assert body
    assert PROOF_TYPE != "vouchbox-verdict+jwt"


def test_due_in_the_last_third(bench: Bench, office: Office) -> None:
    bench.enrol()
    store = bench.box.store()
    assert store is not None
    leaf = store.certificate_chain()[0]
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert not is_due(leaf, leaf.not_valid_before_utc + lifetime * 0.6)
    assert is_due(leaf, leaf.not_valid_before_utc + lifetime * 0.7)
