"""docs/verdict.md: its ten lines of Python run, its example has the claims that a verdict has, its tables are whole."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.x509.verification import VerificationError

from device.certificates import CERTIFICATE_POLICY, EXTENDED_KEY_USAGE, PROFILE, Purpose
from device.protocol import CameraKind
from device.verify import Reason
from provisioning.authority import create_issuing, create_root
from tests.verdicts import AUDIENCE, NONCE, Signer, make_claims, make_signer, make_verdict, with_header

DOCUMENT = (Path(__file__).parent.parent / "docs/verdict.md").read_text(encoding="utf-8")
Verify = Callable[[str, x509.Certificate, str, str], dict[str, Any]]


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture(scope="module")
def verify() -> Verify:
    names: dict[str, Any] = {}
    exec(compile(block("python"), "docs/verdict.md", "exec"), names)
    function: Verify = names["claims_of"]
    return function


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return make_signer(tmp_path / "key")


def test_the_body_of_the_function_has_ten_lines_or_fewer() -> None:
    body = block("python").split("-> dict:\n")[1].strip().splitlines()
    assert len(body) <= 10


def test_accepts_a_verdict(verify: Verify, signer: Signer) -> None:
    assert verify(make_verdict(signer), signer.root, AUDIENCE, NONCE)["verdict"] == "verified"


def test_accepts_a_verdict_through_an_issuing_authority(verify: Verify, tmp_path: Path) -> None:
    signer = make_signer(tmp_path / "key", authority=create_issuing(create_root("Organisation"), "Boxes"))
    assert verify(make_verdict(signer), signer.root, AUDIENCE, NONCE)["verdict"] == "verified"


def test_refuses_what_an_issuing_key_for_development_issued_for_production(verify: Verify, tmp_path: Path) -> None:
    issuing = create_issuing(create_root("Organisation"), "Development", purpose=Purpose.DEVELOPMENT)
    signer = make_signer(tmp_path / "key", authority=issuing)
    with pytest.raises(ValueError, match="no production verdict"):
        verify(make_verdict(signer), signer.root, AUDIENCE, NONCE)


def test_refuses_an_unknown_root(verify: Verify, signer: Signer) -> None:
    with pytest.raises(VerificationError):
        verify(make_verdict(signer), create_root("Another").certificate, AUDIENCE, NONCE)


def test_refuses_another_audience(verify: Verify, signer: Signer) -> None:
    with pytest.raises(jwt.InvalidAudienceError):
        verify(make_verdict(signer), signer.root, "https://someone-else.example", NONCE)


def test_refuses_another_nonce(verify: Verify, signer: Signer) -> None:
    with pytest.raises(ValueError, match="no production verdict"):
        verify(make_verdict(signer), signer.root, AUDIENCE, "another")


def test_refuses_alg_none(verify: Verify, signer: Signer) -> None:
    with pytest.raises(jwt.InvalidTokenError):
        verify(with_header(make_verdict(signer), alg="none"), signer.root, AUDIENCE, NONCE)


def test_refuses_a_changed_signature(verify: Verify, signer: Signer) -> None:
    token = make_verdict(signer)
    changed = token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:]
    with pytest.raises(jwt.InvalidSignatureError):
        verify(changed, signer.root, AUDIENCE, NONCE)


def test_refuses_a_development_verdict(verify: Verify, tmp_path: Path) -> None:
    signer = make_signer(tmp_path / "key", Purpose.DEVELOPMENT)
    with pytest.raises(ValueError, match="no production verdict"):
        verify(make_verdict(signer), signer.root, AUDIENCE, NONCE)
    pretended = make_verdict(signer, lambda claims: claims.update(camera="live", dbgstat="disabled"))
    with pytest.raises(ValueError, match="no production verdict"):
        verify(pretended, signer.root, AUDIENCE, NONCE)


def shape(value: object) -> object:
    """Names and kinds, without the values."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


def test_the_example_has_the_claims_of_a_real_verdict() -> None:
    example, real = json.loads(block("json")), make_claims(Purpose.PRODUCTION, CameraKind.LIVE)
    assert set(example["checks"]) == set(real["checks"])
    for told in example["checks"].values():
        assert set(told) <= {"result", "required", "reason", "method", "fmr"}
    for claims in (example, real):
        del claims["checks"]
    assert shape(example) == shape(real)
    assert list(example) == list(real)
    assert example["eat_profile"] == PROFILE


def test_every_claim_reason_and_identifier_is_explained() -> None:
    for name in make_claims():
        assert f"`{name}`" in DOCUMENT
    for reason in Reason:
        assert f"`{reason}`" in DOCUMENT
    for purpose in Purpose:
        assert EXTENDED_KEY_USAGE[purpose].dotted_string in DOCUMENT
        assert CERTIFICATE_POLICY[purpose].dotted_string in DOCUMENT
