"""Sealing a box: from here on it is in production, and it and its ledger say so. And opening it again.

In: an enrolled box, its last self-test, what the organisation uses it for. Out: the seal in the configuration and a
mark in the ledger. Every reason against it is found before anything is changed; each step can be taken twice, so that
a seal that was cut off is completed by sealing again.
"""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from device.config import Config, SealConfig
from device.errors import CameraError, ConfigurationError, LedgerError
from device.notary.keystore.file import check_private
from device.notary.ledger import Ledger
from device.notary.policy import Policy, load_policies
from device.notary.seal import Mark, append_mark, last_mark, seal_digest
from device.protocol import CameraKind
from provisioning.box import BoxFolder, Stage, change_config, require_stage
from provisioning.ownership import NOTARY, acting_as
from provisioning.selftest.report import Report, load_report
from provisioning.units import Run, run_command, services_stopped

USES: Final = ("commercial", "research")
REPORT_HOURS: Final = 24
"""A self-test older than this says nothing about the box as it stands."""
REASON: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Objection:
    """Why a box should not be sealed. `acceptable` ones can be accepted by name, which the seal records."""

    name: str
    text: str
    acceptable: bool = True


def objections(box: BoxFolder, use: str, report: Report | None, policies: dict[str, Policy]) -> list[Objection]:
    """Everything that speaks against sealing this box now."""
    found = [*_key(box), *_camera(box), *_selftest(box, report), *_licences(box, use)]
    found += [Objection("policies.none", "no policy", acceptable=False)] if not policies else []
    return found


def _key(box: BoxFolder) -> list[Objection]:
    with acting_as(NOTARY):
        store = box.store()
        trouble = "there is no production key" if store is None else store.health()
        if store is not None:
            store.close()
    return [Objection("key", trouble, acceptable=False)] if trouble else []


def _camera(box: BoxFolder) -> list[Objection]:
    from device.vision.camera.base import open_camera

    try:
        kind = open_camera(box.config.vision).identity.kind
    except CameraError:
        return []  # the self-test has said so
    except ConfigurationError as error:
        return [Objection("camera.configured", str(error), acceptable=False)]
    if kind is not CameraKind.LIVE:
        words = f"{box.config.vision.camera} is no live camera; name one with `vouchbox-provision init --camera`"
        return [Objection("camera.emulated", words, acceptable=False)]
    return []


def _selftest(box: BoxFolder, report: Report | None) -> list[Objection]:
    if report is None or time.time() - report.time > REPORT_HOURS * 3600 or report.camera != box.config.vision.camera:
        words = "no self-test of this box and camera in the last day: run `vouchbox-provision selftest`"
        return [Objection("selftest", words, acceptable=False)]
    return [Objection(f.name, f"{f.text}; {f.advice}") for f in report.findings if f.blocks]


def _licences(box: BoxFolder, use: str) -> list[Objection]:
    from device.vision.inference.manifest import LicenceUse, load_manifest

    if use != "commercial":
        return []
    manifest = load_manifest(box.config.state)
    return [
        Objection(
            f"licence.{entry.name}",
            f"model {entry.name} may be used for research only ({entry.licence}); remove it or install another",
        )
        for entry in manifest
        if entry.licence_use is LicenceUse.RESEARCH and manifest.find(entry) is not None
    ]


def seal(box: BoxFolder, use: str, accepted: tuple[str, ...], run: Run = run_command) -> tuple[BoxFolder, bool]:
    """Seals the box; True if anything was changed.

    Raises:
        ConfigurationError: something speaks against it; the text lists all of it. Nothing was changed.
        LedgerError: the ledger cannot be written; the notary then does not start until sealing succeeds.
    """
    require_stage(box, Stage.ENROLLED)
    sealed = box.config.sealed
    if sealed is not None and (sealed.use, set(sealed.accepted)) == (use, set(accepted)) and _is_complete(box):
        return box, False
    if sealed is not None and sealed.use != use:
        raise ConfigurationError(f"this box is sealed for {sealed.use} use; unseal it first")
    if sealed is None:
        policies = dict(load_policies(Path(box.config.notary.policies) if box.config.notary.policies else None))
        report = load_report(box.notes)
        looked_at = {one.name for one in report.findings} if report is not None else set()
        _refuse(objections(box, use, report, policies), accepted, looked_at)
        fresh = _seal_of(box, use, accepted, policies)
    with services_stopped(box.config, run):
        _destroy_development_keys(box)
        if sealed is None:
            box = change_config(box, lambda config: msgspec.structs.replace(config, seal=fresh))
        assert box.config.sealed is not None
        _mark(box, Mark.SEALED, seal_digest(box.config.sealed), "")
    return box, True


def unseal(box: BoxFolder, reason: str, run: Run = run_command) -> tuple[BoxFolder, bool]:
    """Opens a sealed box; its ledger keeps when, and the word that was given as the reason.

    Raises:
        ConfigurationError: the reason is not one word.
        LedgerError: the mark cannot be written: the box stays sealed.
    """
    if not REASON.fullmatch(reason):
        raise ConfigurationError(f"--reason is one word, like camera-replaced: {reason[:64]!r} is not")
    mark = last_mark_of(box)
    if box.config.sealed is None and (mark is None or mark[0] is not Mark.SEALED):
        return box, False
    with services_stopped(box.config, run):
        digest = seal_digest(box.config.sealed) if box.config.sealed is not None else b""
        if mark is None or mark[0] is not Mark.UNSEALED:
            _mark(box, Mark.UNSEALED, digest, reason)
        return change_config(box, without_seal), True


def without_seal(config: Config) -> Config:
    """The configuration of an open box."""
    return msgspec.structs.replace(config, seal=msgspec.UNSET)


def last_mark_of(box: BoxFolder) -> tuple[Mark, bytes] | None:
    """The newest act of provisioning in the box's ledger."""
    with acting_as(NOTARY):
        return last_mark(box.config.state / "ledger.sqlite")


def _refuse(found: list[Objection], accepted: tuple[str, ...], looked_at: set[str]) -> None:
    """What was accepted once and is well now (a clock that found its server) is no reason to refuse."""
    unknown = set(accepted) - {objection.name for objection in found} - looked_at
    if unknown:
        raise ConfigurationError(f"nothing to accept is called {', '.join(sorted(unknown))}")
    left = [o for o in found if not o.acceptable or o.name not in accepted]
    if left:
        lines = [f"  {o.name}: {o.text}" for o in left]
        able = " ".join(f"--accept {o.name}" for o in left if o.acceptable)
        hint = f"\nWhat you answer for can be accepted, and the seal will say so: {able}" if able else ""
        raise ConfigurationError("this box cannot be sealed yet:\n" + "\n".join(lines) + hint)


def _seal_of(box: BoxFolder, use: str, accepted: tuple[str, ...], policies: dict[str, Policy]) -> SealConfig:
    from device.vision.inference.manifest import load_manifest

    manifest = load_manifest(box.config.state)
    return SealConfig(
        time=int(time.time()),
        use=use,
        camera=box.config.vision.camera,
        policies={name: policy.digest.hex() for name, policy in sorted(policies.items())},
        models={entry.name: entry.sha256 for entry in manifest if manifest.find(entry) is not None},
        accepted=tuple(sorted(accepted)),
    )


def _is_complete(box: BoxFolder) -> bool:
    assert box.config.sealed is not None
    return last_mark_of(box) == (Mark.SEALED, seal_digest(box.config.sealed)) and not box.development.exists()


def _mark(box: BoxFolder, mark: Mark, digest: bytes, reason: str) -> None:
    with acting_as(NOTARY):
        if last_mark(box.config.state / "ledger.sqlite") == (mark, digest):
            return
        ledger = Ledger(box.config.state / "ledger.sqlite")
        try:
            append_mark(ledger, mark, digest, reason)
        finally:
            ledger.close()


def _destroy_development_keys(box: BoxFolder) -> None:
    """Deleted, the key first. What flash keeps of a deleted file is worth nothing: its root is nobody's anchor."""
    with acting_as(NOTARY):
        key = box.development / "key.pem"
        if key.exists():
            check_private(key)
            key.unlink()
        shutil.rmtree(box.development, ignore_errors=True)
        if box.development.exists():
            raise LedgerError(f"cannot delete {box.development}")
