"""The product's own findings: how strong its key store is, whether its services are well, how long a verification
takes.

In: the box. Out: findings.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console

from device.config import VisionConfig
from device.errors import ConfigurationError, VouchboxError
from device.health import NO_ANSWER, health
from device.vision.inference.manifest import Manifest, ModelEntry, Task, load_manifest
from device.vision.inference.model import load_model, prepare
from provisioning.box import BoxFolder
from provisioning.keymaking import TPM_DEVICE
from provisioning.ownership import NOTARY, acting_as
from provisioning.selftest.known_answers import picture
from provisioning.selftest.limits import Limits
from provisioning.selftest.report import Finding, finding
from provisioning.units import Run, gateway_url, run_command

SELFIE_TASKS: Final = (
    Task.FACE_DETECTION,
    Task.FACE_LANDMARKS,
    Task.FACE_EMBEDDING,
    Task.PRESENTATION_ATTACK,
    Task.PRESENTATION_OPINION,
)
_RUNS: Final = 5
_STRENGTH = {
    "tpm": "in a TPM: it cannot be copied",
    "pkcs11": "in a PKCS #11 token: it cannot be copied",
    "sealed": "in a file that only this machine can unseal: a copy of the state folder is worthless elsewhere",
    "file": "in a file: whoever has the disk has the key",
}


def key_strength(box: BoxFolder, tpm: Path = TPM_DEVICE) -> Finding:
    """Where the key is, and whether there would be a better place."""
    kind = box.config.notary.keystore.partition(":")[0]
    text = f"the key is {_STRENGTH.get(kind, f'in {kind}')}"
    if kind not in ("file", "sealed"):
        return finding("key.strength", True, text, advisory=True)
    if tpm.exists():
        advice = "this board has a TPM: wipe the box and `vouchbox-provision init --keystore tpm`"
        return finding("key.strength", False, text, advice, advisory=True)
    advice = "fit a TPM or a secure element; until then encrypt the disk, and `init --keystore sealed` for its copies"
    return finding("key.strength", False, f"{text}; this board has no TPM", advice, advisory=True)


def key_health(box: BoxFolder) -> Finding:
    """Whether it signs, and how long yet."""
    with acting_as(NOTARY):
        store = box.store()
        if store is None:
            return finding("key.certificate", None, "not enrolled yet", "`vouchbox-provision enrol`")
        trouble = store.health()
        if not trouble:
            try:
                store.sign(b"vouchbox self-test")
            except VouchboxError as error:
                trouble = str(error)
        days = 0.0 if trouble else (store.certificate_chain()[0].not_valid_after_utc.timestamp() - time.time()) / 86_400
        store.close()
    if trouble:
        return finding("key.certificate", False, trouble, "`vouchbox-provision enrol` again")
    return finding("key.certificate", True, f"signs; valid for {days:.0f} days", figures={"days": days})


def services(box: BoxFolder, run: Run = run_command) -> Finding:
    """What `/healthz` says."""
    trouble = health(gateway_url(box.file, box.config, run), box.config.gateway.certificate)
    if trouble.startswith(NO_ANSWER):
        advice = "systemctl start vouchbox.target, once the box is enrolled"
        return finding("services.health", None, "the services do not run yet", advice)
    advice = "`systemctl status 'vouchbox-*'` and the journal say what is missing"
    return finding("services.health", not trouble, trouble[:200] or "all three are well", advice)


def verification_time(limits: Limits, run: Callable[[Path], float] | None = None) -> Finding:
    """A whole verification by three processes of its own, before the emulated camera, as fast as this machine can.

    A box has none of the pictures that the emulated person is made from (extra `demo`): there one selfie frame through
    its models is timed, on a computed picture.
    """
    if run is None and not _has_a_person():
        return frame_time(limits)
    advice = "a faster board, a fan (`vouchbox bench` says which step is slow)"
    try:
        with tempfile.TemporaryDirectory(prefix="vouchbox-selftest-") as name:
            seconds = (run or _emulated)(Path(name))
    except VouchboxError as error:
        words = f"an emulated verification did not end as it should: {error}"
        return finding("verification.time", False, words, "`vouchbox demo` shows where it stops")
    text, figures = f"{seconds:.1f} s with the start of the processes", {"seconds": seconds}
    good = seconds <= limits.verification.seconds
    return finding("verification.time", good, text, advice, advisory=True, figures=figures)


def frame_time(limits: Limits, manifest: Manifest | None = None) -> Finding:
    """How long one selfie frame is computed on: the default model of each task, one after the other."""
    known = manifest or load_manifest()
    try:
        seconds = sum(_inference_time(known, known.default(task)) for task in SELFIE_TASKS)
    except VouchboxError as error:
        return finding("verification.time", None, f"no model to time: {error}", advisory=True)
    text = f"{1000 * seconds:.0f} ms for one selfie frame; a whole verification needs the person's own time"
    advice = "a faster board, a fan; nothing else should run on a box"
    good = seconds <= limits.verification.frame
    return finding("verification.time", good, text, advice, advisory=True, figures={"frame": seconds})


def _inference_time(manifest: Manifest, entry: ModelEntry) -> float:
    """Median seconds of a few runs."""
    model, tensor = load_model(manifest, entry), prepare(entry, picture(entry))
    model.run(tensor)
    times = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        model.run(tensor)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _has_a_person() -> bool:
    from device.vision.camera.emulation.resources import font, load_picture

    try:
        load_picture("astronaut")
        font("plain", 10)
    except ConfigurationError:
        return False
    return True


def _emulated(folder: Path) -> float:
    from device.commands.demo import run_demo

    began = time.monotonic()
    result = run_demo(folder, VisionConfig(camera="emulated:standard", pace="fast"), Console(quiet=True))
    if not result.verified:
        raise VouchboxError(f"it ended {result.claims.get('verdict') or result.verification.reason}")
    return time.monotonic() - began
