"""Offline verification: one good verdict, and one for each way in which a verdict can be bad."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.certificates import CERTIFICATE_POLICY, EXTENDED_KEY_USAGE, Purpose, der
from device.commands.verify import EXPLANATIONS, read_token
from device.commands.verify import verify as command
from device.notary.verdict import sign_claims, sign_head
from device.protocol import CameraKind
from device.verify import Reason, Verification, verify_verdict
from provisioning.authority import create_issuing, create_root, issue_leaf, pem
from tests.verdicts import (
    AUDIENCE,
    NONCE,
    Signer,
    b64url,
    encode,
    make_claims,
    make_signer,
    make_verdict,
    with_header,
    write_identity,
)


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return make_signer(tmp_path_factory.mktemp("production") / "key")


@pytest.fixture(scope="module")
def development(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return make_signer(tmp_path_factory.mktemp("development") / "key", Purpose.DEVELOPMENT)


@pytest.fixture(scope="module")
def verdict(production: Signer) -> str:
    return make_verdict(production)


def check(token: str, *roots: x509.Certificate, **options: object) -> Verification:
    defaults: dict[str, object] = {"expected_audience": AUDIENCE, "expected_nonce": NONCE}
    return verify_verdict(token, trust=list(roots), **{**defaults, **options})  # type: ignore[arg-type]


# --- What is good ----------------------------------------------------------------------------------------------------


def test_a_production_verdict_is_valid(production: Signer) -> None:
    found = check(make_verdict(production), production.root)
    assert found.valid, found.reason
    assert found.reason is None
    assert found.claims is not None
    assert found.claims["verdict"] == "verified"


def test_a_verdict_by_an_ed25519_key_is_valid(tmp_path: Path) -> None:
    signer = make_signer(tmp_path / "key", key=ed25519.Ed25519PrivateKey.generate())
    token = make_verdict(signer)
    assert json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))["alg"] == "EdDSA"
    assert check(token, signer.root).valid


def test_a_verdict_through_an_issuing_authority_is_valid(tmp_path: Path) -> None:
    issuing = create_issuing(create_root("Organisation"), "Organisation boxes")
    signer = make_signer(tmp_path / "key", authority=issuing)
    assert check(make_verdict(signer), signer.root).valid


def test_several_roots_can_be_trusted(production: Signer, development: Signer) -> None:
    assert check(make_verdict(production), development.root, production.root).valid


def test_an_old_verdict_can_be_verified_as_of_its_time(production: Signer) -> None:
    token = make_verdict(production, lambda claims: claims.update(iat=claims["iat"] - 2000, exp=claims["exp"] - 2000))
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1900)
    assert check(token, production.root).reason is Reason.EXPIRED
    assert check(token, production.root, now=then).valid


def test_an_emulated_verdict_is_valid_only_when_allowed(development: Signer) -> None:
    token = make_verdict(development)
    assert check(token, development.root).reason is Reason.EMULATED
    assert check(token, development.root, allow_emulated=True).valid


# --- What is bad: each named after its defect ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    ["", "a", "a.b", "a.b.c", "....", "ä.b.c", "e30.e30.e30.e30", "bnVsbA.e30.e30", "W10.e30.e30", "x" * 100_000],
)
def test_malformed(token: str, production: Signer) -> None:
    assert check(token, production.root).reason in {Reason.MALFORMED, Reason.ALGORITHM_NOT_ALLOWED}


def test_alg_none(production: Signer) -> None:
    token = with_header(make_verdict(production), alg="none")
    assert check(token, production.root).reason is Reason.ALGORITHM_NOT_ALLOWED
    assert check(token.rsplit(".", 1)[0] + ".", production.root).reason is Reason.ALGORITHM_NOT_ALLOWED


def test_alg_hs256_with_the_public_key_as_secret(production: Signer) -> None:
    head, payload, _ = with_header(make_verdict(production), alg="HS256").split(".")
    secret = pem((production.store.certificate_chain()[0],))
    signature = hmac.new(secret, f"{head}.{payload}".encode(), hashlib.sha256).digest()
    assert check(f"{head}.{payload}.{b64url(signature)}", production.root).reason is Reason.ALGORITHM_NOT_ALLOWED


@pytest.mark.parametrize("algorithm", ["ES256K", "es256", "RS256", "", 7, None, ["ES256"]])
def test_alg_other(algorithm: object, production: Signer) -> None:
    token = with_header(make_verdict(production), alg=algorithm)
    assert check(token, production.root).reason is Reason.ALGORITHM_NOT_ALLOWED


def test_alg_that_the_key_does_not_have(production: Signer) -> None:
    token = with_header(make_verdict(production), production, alg="EdDSA")
    assert check(token, production.root).reason is Reason.LEAF_NOT_ALLOWED


@pytest.mark.parametrize("name", ["JWT", "application/vouchbox-verdict+jwt", None])
def test_typ_wrong(name: object, production: Signer) -> None:
    token = with_header(make_verdict(production), production, typ=name)
    assert check(token, production.root).reason is Reason.TYPE_WRONG


def test_a_signed_ledger_head_is_no_verdict(production: Signer) -> None:
    from device.notary.ledger import GENESIS, Head
    from device.notary.verdict import Box

    token = sign_head(Head(0, GENESIS), Box("i", b"\x01" + bytes(16), "h"), production.store, int(time.time()))
    assert check(token, production.root).reason is Reason.TYPE_WRONG


@pytest.mark.parametrize("extra", [{"crit": ["exp"]}, {"b64": False}])
def test_critical_header_that_is_not_understood(extra: dict[str, object], production: Signer) -> None:
    token = with_header(make_verdict(production), production, **extra)
    assert check(token, production.root).reason is Reason.MALFORMED


@pytest.mark.parametrize("x5c", [None, []])
def test_certificate_missing(x5c: object, production: Signer) -> None:
    token = with_header(make_verdict(production), production, x5c=x5c)
    assert check(token, production.root).reason is Reason.CERTIFICATE_MISSING


@pytest.mark.parametrize("x5c", ["text", [1], ["!!"], ["AAAA"], [""], [None] * 3, ["AAAA"] * 50, {"a": 1}])
def test_certificate_malformed(x5c: object, production: Signer) -> None:
    token = with_header(make_verdict(production), production, x5c=x5c)
    assert check(token, production.root).reason is Reason.CERTIFICATE_MALFORMED


def test_unknown_root(production: Signer, tmp_path: Path) -> None:
    stranger = make_signer(tmp_path / "key")
    token = make_verdict(stranger)
    assert check(token, production.root).reason is Reason.CHAIN_UNTRUSTED
    assert check(token).reason is Reason.CHAIN_UNTRUSTED


def test_unknown_root_of_the_same_name(production: Signer, tmp_path: Path) -> None:
    stranger = make_signer(tmp_path / "key", authority=create_root("Test organisation root"))
    assert check(make_verdict(stranger), production.root).reason is Reason.CHAIN_UNTRUSTED


def test_a_leaf_of_ours_in_front_of_a_strangers_signature(production: Signer, tmp_path: Path) -> None:
    stranger = make_signer(tmp_path / "key")
    ours = [base64.b64encode(der(certificate)).decode() for certificate in production.store.certificate_chain()]
    token = with_header(make_verdict(stranger), stranger, x5c=ours)
    assert check(token, production.root).reason is Reason.SIGNATURE_WRONG


@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changed_byte(position: int, bit: int, production: Signer, verdict: str) -> None:
    token = bytearray(verdict.encode())
    place = position % len(token)
    token[place] ^= 1 << bit
    assert not check(token.decode("latin-1"), production.root).valid


@pytest.mark.parametrize("part", [1, 2])
def test_changed_byte_in_payload_or_signature(part: int, production: Signer) -> None:
    parts = make_verdict(production).split(".")
    data = bytearray(base64.urlsafe_b64decode(parts[part] + "=="))
    data[10] ^= 1
    parts[part] = b64url(bytes(data))
    found = check(".".join(parts), production.root)
    assert found.reason is Reason.SIGNATURE_WRONG
    assert found.claims is None  # what nobody signed is not shown


def test_claims_changed_under_the_old_signature(production: Signer) -> None:
    header, _, signature = make_verdict(production).split(".")
    claims = make_claims()
    claims["aud"] = "https://someone-else.example"
    token = f"{header}.{encode(claims)}.{signature}"
    found = check(token, production.root, expected_audience="https://someone-else.example")
    assert found.reason is Reason.SIGNATURE_WRONG


@pytest.mark.parametrize("audience", ["https://someone-else.example", "", AUDIENCE + "/", AUDIENCE.upper()])
def test_wrong_audience(audience: str, production: Signer) -> None:
    assert check(make_verdict(production), production.root, expected_audience=audience).reason is Reason.AUDIENCE_WRONG


def test_wrong_nonce(production: Signer) -> None:
    assert check(make_verdict(production), production.root, expected_nonce="another").reason is Reason.NONCE_WRONG


def test_expired(production: Signer) -> None:
    token = make_verdict(production, lambda claims: claims.update(exp=int(time.time()) - 1))
    assert check(token, production.root).reason is Reason.EXPIRED


def test_from_the_future(production: Signer) -> None:
    token = make_verdict(production, lambda claims: claims.update(iat=claims["iat"] + 600, exp=claims["exp"] + 600))
    assert check(token, production.root).reason is Reason.NOT_YET_VALID


def test_leaf_expired(production: Signer) -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=60)
    token = make_verdict(production, lambda claims: claims.update(exp=claims["exp"] + 90 * 86_400))
    assert check(token, production.root, now=later).reason is Reason.LEAF_EXPIRED


def test_leaf_not_yet_valid(production: Signer) -> None:
    earlier = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    assert check(make_verdict(production), production.root, now=earlier).reason is Reason.LEAF_NOT_YET_VALID


def test_root_expired(tmp_path: Path) -> None:
    signer = make_signer(tmp_path / "key", authority=create_root("Short-lived", days=10), days=30)
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=20)
    token = make_verdict(signer, lambda claims: claims.update(exp=claims["exp"] + 90 * 86_400))
    assert check(token, signer.root, now=later).reason is Reason.CHAIN_UNTRUSTED


# --- Leaves that may not sign ----------------------------------------------------------------------------------------


def crafted(folder: Path, *extensions: tuple[x509.ExtensionType, bool]) -> Signer:
    """A key whose certificate, by the trusted root, has just these extensions."""
    root = create_root("Test organisation root")
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Crafted")]))
        .issuer_name(root.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=30))
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    write_identity(folder, key, (builder.sign(root.key, hashes.SHA256()), *root.chain))
    return Signer(root, folder, Purpose.PRODUCTION)


def forge(signer: Signer) -> str:
    """Signs with a key that an honest key store would refuse to load."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from device.notary.keystore.base import raw_signature

    chain = x509.load_pem_x509_certificates((signer.folder / "chain.pem").read_bytes())
    key = load_pem_private_key((signer.folder / "key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    x5c = [base64.b64encode(der(certificate)).decode() for certificate in chain]
    signed = f"{encode({'alg': 'ES256', 'typ': 'vouchbox-verdict+jwt', 'x5c': x5c})}.{encode(make_claims())}"
    signature = raw_signature(*decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))))
    return f"{signed}.{b64url(signature)}"


def usage(*, sign: bool = True, certificates: bool = False, agreement: bool = False) -> tuple[x509.KeyUsage, bool]:
    value = x509.KeyUsage(
        digital_signature=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=agreement,
        key_cert_sign=certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return value, True


BASIC = (x509.BasicConstraints(ca=False, path_length=None), True)
PURPOSE = (x509.ExtendedKeyUsage([EXTENDED_KEY_USAGE[Purpose.PRODUCTION]]), True)
POLICY = (x509.CertificatePolicies([x509.PolicyInformation(CERTIFICATE_POLICY[Purpose.PRODUCTION], None)]), False)


def test_crafted_as_it_should_be_is_valid(tmp_path: Path) -> None:
    signer = crafted(tmp_path / "key", BASIC, usage(), PURPOSE, POLICY)
    assert check(forge(signer), signer.root).valid  # so that the refusals below are for what they are named after


@pytest.mark.parametrize(
    "extensions",
    [
        (usage(), PURPOSE, POLICY),
        (BASIC, PURPOSE, POLICY),
        (BASIC, usage(), POLICY),
        (BASIC, usage(), PURPOSE),
        (BASIC, usage(sign=False, agreement=True), PURPOSE, POLICY),
        (BASIC, usage(agreement=True), PURPOSE, POLICY),
        ((x509.BasicConstraints(ca=True, path_length=0), True), usage(), PURPOSE, POLICY),
        (BASIC, usage(certificates=True), PURPOSE, POLICY),
        (BASIC, usage(), (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), True), POLICY),
        (BASIC, usage(), (x509.ExtendedKeyUsage(list(EXTENDED_KEY_USAGE.values())), True), POLICY),
        (
            BASIC,
            usage(),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), True),
            POLICY,
        ),
        (
            BASIC,
            usage(),
            PURPOSE,
            (x509.CertificatePolicies([x509.PolicyInformation(CERTIFICATE_POLICY[Purpose.DEVELOPMENT], None)]), False),
        ),
    ],
    ids=[
        "no_basic_constraints",
        "no_key_usage",
        "no_purpose",
        "no_policy",
        "key_may_not_sign",
        "key_may_do_more",
        "leaf_is_an_authority",
        "leaf_may_issue",
        "purpose_of_a_web_server",
        "both_purposes",
        "any_purpose",
        "production_purpose_with_development_policy",
    ],
)
def test_leaf_not_allowed_to_sign(tmp_path: Path, extensions: tuple[tuple[x509.ExtensionType, bool], ...]) -> None:
    signer = crafted(tmp_path / "key", *extensions)
    assert check(forge(signer), signer.root).reason is Reason.LEAF_NOT_ALLOWED


def test_the_root_itself_signs(tmp_path: Path) -> None:
    root = create_root("Organisation")
    write_identity(tmp_path / "key", root.key, root.chain)
    assert check(forge(Signer(root, tmp_path / "key", Purpose.PRODUCTION)), root.certificate).reason is (
        Reason.LEAF_NOT_ALLOWED
    )


def test_a_leaf_that_issues_another_leaf(production: Signer, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from provisioning.authority import Authority

    key = load_pem_private_key((production.folder / "key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    thief = ec.generate_private_key(ec.SECP256R1())
    chain = issue_leaf(Authority(key, production.store.certificate_chain()), thief.public_key(), "Bought elsewhere")
    write_identity(tmp_path / "key", thief, chain)
    token = forge(Signer(production.authority, tmp_path / "key", Purpose.PRODUCTION))
    assert check(token, production.root).reason is Reason.CHAIN_UNTRUSTED


def test_an_issuing_key_for_development_issues_a_production_leaf(tmp_path: Path) -> None:
    issuing = create_issuing(create_root("Organisation"), "Development boxes", purpose=Purpose.DEVELOPMENT)
    signer = make_signer(tmp_path / "key", authority=issuing)
    assert check(make_verdict(signer), signer.root).reason is Reason.CHAIN_UNTRUSTED


def test_an_issuing_authority_below_an_issuing_authority(tmp_path: Path) -> None:
    issuing = create_issuing(create_issuing(create_root("Organisation"), "First"), "Second")
    key = ec.generate_private_key(ec.SECP256R1())
    chain = issue_leaf(issuing, key.public_key(), "Box")
    write_identity(tmp_path / "key", key, chain[:3])
    assert check(forge(Signer(issuing, tmp_path / "key", Purpose.PRODUCTION)), chain[-1]).reason is (
        Reason.CHAIN_UNTRUSTED
    )


# --- Production and development never meet ---------------------------------------------------------------------------


def test_production_claims_under_a_development_leaf(development: Signer) -> None:
    token = sign_claims(make_claims(Purpose.PRODUCTION), development.store)
    assert check(token, development.root).reason is Reason.CONTRADICTORY
    assert check(token, development.root, allow_emulated=True).reason is Reason.CONTRADICTORY


def test_an_emulated_camera_under_a_production_leaf(production: Signer) -> None:
    token = sign_claims(make_claims(Purpose.PRODUCTION, CameraKind.EMULATED), production.store)
    assert check(token, production.root).reason is Reason.CONTRADICTORY
    assert check(token, production.root, allow_emulated=True).reason is Reason.CONTRADICTORY


def test_debugging_under_a_production_leaf(production: Signer) -> None:
    token = make_verdict(production, lambda claims: claims.update(dbgstat="enabled"))
    assert check(token, production.root).reason is Reason.CONTRADICTORY


def test_a_live_camera_under_a_development_leaf(development: Signer) -> None:
    token = sign_claims(make_claims(Purpose.DEVELOPMENT, CameraKind.LIVE), development.store)
    assert check(token, development.root).reason is Reason.DEVELOPMENT
    assert check(token, development.root, allow_emulated=True).valid


# --- Claims of the wrong shape ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["iss", "aud", "iat", "exp", "jti", "eat_nonce", "verdict", "checks", "camera", "dbgstat", "policy"]
)
def test_claim_missing(name: str, production: Signer) -> None:
    token = make_verdict(production, lambda claims: claims.pop(name))
    assert check(token, production.root).reason is Reason.CLAIMS_MALFORMED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("aud", [AUDIENCE]),
        ("exp", "tomorrow"),
        ("exp", True),
        ("iat", None),
        ("exp", 1e300),
        ("verdict", "VERIFIED"),
        ("camera", "pinhole"),
        ("checks", []),
    ],
)
def test_claim_of_the_wrong_kind(name: str, value: object, production: Signer) -> None:
    token = make_verdict(production, lambda claims: claims.update({name: value}))
    assert check(token, production.root).reason is Reason.CLAIMS_MALFORMED


def test_a_profile_of_another_version(production: Signer) -> None:
    token = make_verdict(production, lambda claims: claims.update(eat_profile="urn:example:2"))
    assert check(token, production.root).reason is Reason.PROFILE_UNKNOWN


@given(st.text(max_size=200))
def test_any_text_is_answered(text: str) -> None:
    assert not check(text).valid


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_header_is_answered(header: object) -> None:
    assert not check(f"{b64url(json.dumps(header).encode())}.e30.AAAA").valid


# --- The command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def root_file(development: Signer, tmp_path: Path) -> str:
    path = tmp_path / "root.pem"
    path.write_bytes(pem((development.root,)))
    return str(path)


def run(*arguments: str, stdin: str | bytes | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(command, list(arguments), input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_command_valid(development: Signer, root_file: str) -> None:
    code, output = run(
        make_verdict(development), "--trust", root_file, "--audience", AUDIENCE, "--nonce", NONCE, "--allow-emulated"
    )
    assert code == 0
    assert output.startswith("valid: verified")


def test_command_json_from_standard_input(development: Signer, root_file: str) -> None:
    asked = ["--trust", root_file, "--audience", AUDIENCE, "--nonce", NONCE, "--json"]
    code, output = run("-", *asked, stdin=make_verdict(development) + "\n")
    told = json.loads(output)
    assert code == 1
    assert (told["valid"], told["reason"]) == (False, "emulated")
    assert told["claims"]["camera"] == "emulated"


def test_command_from_a_file(development: Signer, root_file: str, tmp_path: Path) -> None:
    path = tmp_path / "verdict.jwt"
    path.write_text(make_verdict(development))
    asked = ["--trust", root_file, "--audience", AUDIENCE, "--nonce", "another", "--allow-emulated", "--json"]
    code, output = run(str(path), *asked)
    assert (code, json.loads(output)["reason"]) == (1, "nonce_wrong")


@pytest.mark.parametrize("defect", ["missing_token_file", "empty_token", "huge_file", "missing_root", "root_is_no_pem"])
def test_command_bad_input(defect: str, development: Signer, root_file: str, tmp_path: Path) -> None:
    token, trust, stdin = make_verdict(development), root_file, None
    if defect == "missing_token_file":
        token = str(tmp_path / "none.jwt")
    elif defect == "empty_token":
        token, stdin = "-", "\n"
    elif defect == "huge_file":
        (tmp_path / "huge").write_bytes(b"a" * 1_000_000)
        token = str(tmp_path / "huge")
    elif defect == "missing_root":
        trust = str(tmp_path / "none.pem")
    elif defect == "root_is_no_pem":
        (tmp_path / "no.pem").write_text("hello")
        trust = str(tmp_path / "no.pem")
    code, output = run(token, "--trust", trust, "--audience", AUDIENCE, "--nonce", NONCE, stdin=stdin)
    assert code == 2
    assert len(output.strip().splitlines()) == 1


def test_every_reason_has_its_words() -> None:
    assert set(EXPLANATIONS) == set(Reason)


def test_certificate_of_a_version_that_does_not_exist(production: Signer, verdict: str) -> None:
    """X.509 knows versions 1 to 3; the library has an exception of its own for others."""
    header, payload, signature = verdict.split(".")
    fields = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    leaf = bytearray(base64.b64decode(fields["x5c"][0]))
    leaf[leaf.index(b"\xa0\x03\x02\x01\x02") + 4] = 10
    fields["x5c"][0] = base64.b64encode(bytes(leaf)).decode()
    changed = base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")
    assert check(f"{changed}.{payload}.{signature}", production.root).reason is Reason.CERTIFICATE_MALFORMED


def test_a_file_whose_name_has_dots_is_a_file(tmp_path: Path, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.verdict.jwt").write_text(verdict)
    assert read_token("my.verdict.jwt") == verdict
    assert read_token(verdict) == verdict


def test_bytes_that_are_no_text_are_no_verdict(root_file: str) -> None:
    arguments = ("-", "--trust", root_file, "--audience", AUDIENCE, "--nonce", NONCE)
    code, output = run(*arguments, stdin=b"\xff\xfe.a.b")
    assert code == 1
    assert "malformed" in output
