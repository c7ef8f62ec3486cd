"""Policies: the packaged ones, and everything that must not pass for one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from device.errors import ConfigurationError
from device.notary.policy import PACKAGED, load_policies, load_policy
from device.protocol import Attribute, Check, ConsentMethod

GOOD = 'documents = ["passport"]\nrequired = ["document.read", "document.consistency"]\nconsent = ["kiosk"]\n'


def write(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["standard", "demo", "age-over-18"])
def test_the_packaged_policies_load(name: str) -> None:
    policy = load_policies()[name]
    assert Check.FACE_MATCH in policy.rules.required
    assert Check.LIVENESS_CHALLENGE in policy.rules.required
    assert policy.digest == hashlib.sha256((PACKAGED / f"{name}.toml").read_bytes()).digest()


def test_only_the_demo_lets_passive_detection_be_optional() -> None:
    lax = {name for name, policy in load_policies().items() if Check.LIVENESS_PASSIVE not in policy.rules.required}
    assert lax == {"demo"}


def test_age_over_18_tells_one_bit() -> None:
    rules = load_policies()["age-over-18"].rules
    assert rules.attributes == (Attribute.AGE_OVER_18,)
    assert not rules.subject


def test_order_for_vision_has_required_and_optional_checks(tmp_path: Path) -> None:
    policy = load_policy(
        write(
            tmp_path,
            GOOD + 'optional = ["liveness.passive"]\n[limits]\ndocument = 7\nretries = 2\nframes_consistent = 4\n',
        )
    )
    order = policy.order("v" * 16, bytes(32))
    assert order.checks == (Check.DOCUMENT_READ, Check.DOCUMENT_CONSISTENCY, Check.LIVENESS_PASSIVE)
    assert (order.limits.document, order.limits.retries) == (7, 2)
    assert (order.limits.frames_consistent, order.limits.frames_inconsistent) == (4, 6)
    assert policy.fact().consent == (ConsentMethod.KIOSK,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "requried = []\n", "requried"),
        (GOOD + "[limits]\ndocumnet = 3\n", "documnet"),
        (GOOD + "[limits]\ndocument = 0\n", "limits.document"),
        (GOOD + "[limits]\nframes_consistent = 0\n", "limits.frames_consistent"),
        (GOOD + 'fmr = "1e-9"\n', "fmr"),
        (GOOD.replace("document.read", "document.raed"), "required"),
        (GOOD.replace('["kiosk"]', "[]"), "consent"),
        (GOOD.replace('"passport"', '"passport", "passport"'), "documents names something twice"),
        (GOOD + 'optional = ["document.read"]\n', "in both required and optional"),
        (GOOD.replace(', "document.consistency"', "") + 'attributes = ["age_over_18"]\n', "document.consistency"),
        (GOOD.replace(', "document.consistency"', "") + "subject = true\n", "document.consistency"),
        (GOOD + "[challenge]\nmovements = []\n", "movements"),
        ("not toml at all", "mine.toml"),
        ("", "documents"),
    ],
    ids=[
        "unknown_key",
        "unknown_key_in_table",
        "limit_zero",
        "no_frame",
        "unknown_fmr",
        "misspelt_check",
        "no_consent",
        "document_twice",
        "check_both_required_and_optional",
        "attributes_without_consistency",
        "subject_without_consistency",
        "no_movements",
        "not_toml",
        "empty",
    ],
)
def test_refused(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        load_policies(tmp_path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_refused_when_the_folder_has_no_policy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no policy"):
        load_policies(tmp_path)


def test_refused_for_a_name_that_cannot_be_said(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "mit leerzeichen.toml")
    with pytest.raises(ConfigurationError, match="file name"):
        load_policies(tmp_path)


def test_refused_when_it_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"mine\.toml"):
        load_policies(tmp_path)
