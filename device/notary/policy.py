"""Policies: what a relying party may ask of this box, one TOML file each.

In: a folder of `*.toml` (the name of a policy is its file's). Out: frozen `Policy` values with the SHA-256 of their
bytes, which goes into every verdict. An unknown key, or a policy that contradicts itself, is a `ConfigurationError`
that names the file and the key: a misspelt check that is silently not required would be worse than no box.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from device.errors import ConfigurationError
from device.protocol import (
    Attribute,
    Check,
    ConsentMethod,
    DocumentType,
    FmrLevel,
    Movement,
    PolicyFact,
    StageLimits,
    StartCheck,
)

PACKAGED: Final = Path(__file__).parent / "policies"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DOCUMENT_CHECKS: Final = (Check.DOCUMENT_READ, Check.DOCUMENT_CONSISTENCY)


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Challenge(_Table, frozen=True):
    """How many movements the person is asked for, out of which."""

    steps: Annotated[int, Meta(ge=1, le=8)] = 4
    movements: Annotated[tuple[Movement, ...], Meta(min_length=2, max_length=8)] = tuple(Movement)


class Limits(_Table, frozen=True):
    """Seconds for each stage, how often one may be tried again, and how many frames settle what a document says."""

    document: Annotated[int, Meta(ge=1, le=300)] = 30
    holding: Annotated[int, Meta(ge=1, le=300)] = 20
    selfie: Annotated[int, Meta(ge=1, le=300)] = 40
    retries: Annotated[int, Meta(ge=0, le=5)] = 1
    frames_consistent: Annotated[int, Meta(ge=1, le=30)] = 2
    """Frames that agree on a text whose rules hold."""
    frames_inconsistent: Annotated[int, Meta(ge=1, le=90)] = 6
    """Frames that agree on a text that breaks a rule: an honest document must have had its chance."""


class Proof(_Table, frozen=True):
    """A verified person may take a proof of the attributes along (an SD-JWT bound to a key of their own)."""

    days: Annotated[int, Meta(ge=1, le=366)] = 30
    """For how long it holds."""


class Rules(_Table, frozen=True):
    """A policy file.

    `required` checks decide; `optional` ones are performed and reported, and decide nothing.
    `embedder` and `attack_detector` name models of the manifest; empty: its default ones.
    `attributes` and `subject` are told only of a verified person, never of a rejected one.
    """

    documents: Annotated[tuple[DocumentType, ...], Meta(min_length=1, max_length=8)]
    required: Annotated[tuple[Check, ...], Meta(min_length=1, max_length=16)]
    consent: Annotated[tuple[ConsentMethod, ...], Meta(min_length=1, max_length=2)]
    optional: Annotated[tuple[Check, ...], Meta(max_length=16)] = ()
    fmr: FmrLevel = FmrLevel.E4
    attributes: Annotated[tuple[Attribute, ...], Meta(max_length=16)] = ()
    subject: bool = False
    scores: bool = False
    embedder: Annotated[str, Meta(max_length=64)] = ""
    attack_detector: Annotated[str, Meta(max_length=64)] = ""
    proof: Proof | None = None
    challenge: Challenge = Challenge()
    limits: Limits = Limits()


class Policy(msgspec.Struct, frozen=True):
    """Rules with their name and the SHA-256 of the file that they came from."""

    name: str
    rules: Rules
    digest: bytes

    @property
    def checks(self) -> tuple[Check, ...]:
        """Required and optional ones, in the protocol's order."""
        asked = {*self.rules.required, *self.rules.optional}
        return tuple(check for check in Check if check in asked)

    def fact(self) -> PolicyFact:
        """What the gateway tells relying parties about this policy."""
        return PolicyFact(
            name=self.name,
            digest=self.digest,
            checks=self.checks,
            documents=self.rules.documents,
            attributes=self.rules.attributes,
            consent=self.rules.consent,
            fmr=self.rules.fmr,
        )

    def order(self, verification: str, challenge_seed: bytes) -> StartCheck:
        """What vision is told to do."""
        rules = self.rules
        return StartCheck(
            verification=verification,
            challenge_seed=challenge_seed,
            documents=rules.documents,
            checks=self.checks,
            limits=StageLimits(**msgspec.structs.asdict(rules.limits)),
            fmr=rules.fmr,
            challenge_steps=rules.challenge.steps,
            movements=rules.challenge.movements,
            attributes=rules.attributes,
            subject=rules.subject,
            scores=rules.scores,
            embedder=rules.embedder,
            attack_detector=rules.attack_detector,
            decisive=rules.required,
        )

    @property
    def seconds(self) -> int:
        """The longest that vision may take by its own limits: both sides of a document, holding, selfie, each retry."""
        limits = self.rules.limits
        holding = limits.holding if Check.HOLDING in self.checks else 0
        return (2 * limits.document + holding + limits.selfie) * (1 + limits.retries)


def load_policies(folder: Path | None = None) -> Mapping[str, Policy]:
    """Every `*.toml` of `folder` (the packaged ones if None), by name.

    Raises:
        ConfigurationError: no policy there, or one of them is wrong; names the file and the key.
    """
    place = folder or PACKAGED
    policies = {path.stem: load_policy(path) for path in sorted(place.glob("*.toml"))}
    if not policies:
        raise ConfigurationError(f"no policy (*.toml) in {place}; without one nothing can be asked of this box")
    return policies


def load_policy(path: Path) -> Policy:
    """One policy file. Raises `ConfigurationError` naming the file and the key."""
    if not _NAME.fullmatch(path.stem):
        raise ConfigurationError(f"{path}: a policy's file name is letters, digits, '.', '_' and '-' (at most 64)")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    try:
        rules = msgspec.toml.decode(data, type=Rules)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    _refuse_contradictions(path, rules)
    return Policy(name=path.stem, rules=rules, digest=hashlib.sha256(data).digest())


def _refuse_contradictions(path: Path, rules: Rules) -> None:
    lists = {
        "documents": rules.documents,
        "required": rules.required,
        "optional": rules.optional,
        "attributes": rules.attributes,
        "consent": rules.consent,
        "challenge.movements": rules.challenge.movements,
    }
    for key, values in lists.items():
        if len(set(values)) != len(values):
            raise ConfigurationError(f"{path}: {key} names something twice")
    both = set(rules.required) & set(rules.optional)
    if both:
        raise ConfigurationError(f"{path}: {', '.join(sorted(both))} is in both required and optional; choose one")
    if rules.proof is not None and not rules.attributes:
        raise ConfigurationError(f"{path}: a proof holds the attributes, and there are none; list some or drop [proof]")
    if rules.attributes or rules.subject:
        missing = [check for check in _DOCUMENT_CHECKS if check not in rules.required]
        if missing:
            raise ConfigurationError(
                f"{path}: attributes and subject come from the document, so required must name {', '.join(missing)}"
            )
