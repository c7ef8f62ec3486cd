"""A whole self-test of a box. In: the box and what to leave out. Out: a `Report`."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from device import __version__
from device.errors import ConfigurationError, VouchboxError
from device.protocol import Result
from device.vision.camera.base import open_camera
from device.vision.inference.manifest import load_manifest
from provisioning.box import BoxFolder, change_config
from provisioning.initialise import box_name
from provisioning.ownership import NOTARY, acting_as
from provisioning.selftest.camera import look_at_camera, not_performed
from provisioning.selftest.limits import load_limits
from provisioning.selftest.models import look_at_models
from provisioning.selftest.product import key_health, key_strength, services, verification_time
from provisioning.selftest.report import Finding, Report, finding, make_report
from provisioning.selftest.system import Machine, look_at_machine

Say = Callable[[str], None]


def _silent(_words: str) -> None:
    pass


def run_selftest(box: BoxFolder, *, machine: Machine | None = None, quick: bool = False, say: Say = _silent) -> Report:
    """Everything, in about a minute; `quick` leaves out the whole verification. `say` hears what is looked at now."""
    limits = load_limits()
    name = box_name(box)
    say("the machine")
    findings = look_at_machine(machine or Machine(known_past=_known_past(box)), box.config.state, limits)
    say("the key and the services")
    findings += [key_strength(box), key_health(box), services(box)]
    say("the models")
    findings += look_at_models(load_manifest(box.config.state))
    say("the camera: stand in front of it")
    findings = [*_camera(box), *findings]
    if quick:
        findings.append(finding("verification.time", None, "left out (--quick)"))
    else:
        say("one whole verification (emulated)")
        findings.append(verification_time(limits))
    return make_report(name, box.config.vision.camera, __version__, findings)


def _camera(box: BoxFolder) -> list[Finding]:
    try:
        camera = open_camera(box.config.vision)
    except VouchboxError as error:
        advice = "connect the camera, or name another: `vouchbox-provision init --camera`"
        return [finding("camera.present", False, str(error), advice), *not_performed("no camera")]
    return look_at_camera(box.config.vision, camera, load_limits())


def _known_past(box: BoxFolder) -> float:
    """When the box's certificate was issued: whatever the clock says, it is later than that."""
    with acting_as(NOTARY):
        store = box.store()
        if store is None:
            return 0.0
        try:
            return store.certificate_chain()[0].not_valid_before_utc.timestamp()
        except VouchboxError:
            return 0.0
        finally:
            store.close()


def record_camera(box: BoxFolder, report: Report, *, again: bool) -> BoxFolder:
    """Keeps the identity of a live camera that was found well, if none is recorded (or `again`).

    Raises:
        ConfigurationError: `again`, on a sealed box.
    """
    if again and box.config.sealed is not None:
        raise ConfigurationError("this box is sealed: unseal it before another camera is recorded")
    present = any(one.name == "camera.present" and one.result is Result.PASS for one in report.findings)
    if not present or box.config.sealed is not None or (box.config.vision.camera_id and not again):
        return box
    told = open_camera(box.config.vision).identity.description[:128]
    return change_config(
        box,
        lambda config: msgspec.structs.replace(config, vision=msgspec.structs.replace(config.vision, camera_id=told)),
    )
