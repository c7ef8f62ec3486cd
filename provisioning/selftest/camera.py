"""The camera's findings: is it the one that belongs here, and does it see well enough.

In: the configuration and a camera (or any frames). Out: findings, each with what the technician does about it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator

from device.config import VisionConfig
from device.errors import VouchboxError
from device.protocol import CameraKind, Result
from device.vision.camera.base import Camera, CameraIdentity, Frame
from provisioning.selftest.limits import Limits
from provisioning.selftest.optics import Optics
from provisioning.selftest.report import Finding, finding

SECONDS = 4.0
_NAMES = ("exposure", "light", "focus", "noise", "flicker", "rate", "distortion")


def look_at_camera(config: VisionConfig, camera: Camera, limits: Limits, seconds: float = SECONDS) -> list[Finding]:
    """Opens `camera` for a few seconds and reports; a camera that cannot be opened is a finding, not an error."""
    findings = [identity(config, camera.identity)]
    optics = Optics()
    try:
        for frame in frames_of(camera, seconds):
            optics.add(frame)
    except VouchboxError as error:
        absent = finding("camera.present", False, str(error), "check the cable, and who else uses the camera")
        return [*_unless_recorded(findings), absent, *not_performed("no frames")]
    if not optics.times:
        advice = "check the cable; take another camera"
        findings.append(finding("camera.present", False, "the camera is open and gives no frame", advice))
        return findings + not_performed("no frames")
    width, height = optics.size
    findings.append(finding("camera.present", True, f"{len(optics.times)} frames of {width}x{height}"))
    return findings + judge(config, optics, limits)


def _unless_recorded(findings: list[Finding]) -> list[Finding]:
    """A camera that does not open has not been recognised, whatever it is called."""
    unsure = finding("camera.identity", None, "no camera to recognise")
    return [unsure if one.result is Result.PASS else one for one in findings]


def frames_of(camera: Camera, seconds: float) -> Iterator[Frame]:
    """Frames for so many seconds of the camera's own time. Raises `CameraError`."""
    with camera:
        began, patience = camera.time(), time.monotonic() + 3 * seconds
        while camera.time() - began < seconds and time.monotonic() < patience:
            frame = camera.read(0.5)
            if frame is not None:
                yield frame


def observe(frames: Iterable[Frame]) -> Optics:
    """Figures of frames that are there already."""
    optics = Optics()
    for frame in frames:
        optics.add(frame)
    return optics


def identity(config: VisionConfig, found: CameraIdentity) -> Finding:
    """Is it the camera that was recorded?"""
    told = found.description[:128]
    if found.kind is not CameraKind.LIVE:
        advice = "name a real camera: `vouchbox-provision init --camera`; a box with this one cannot be sealed"
        return finding("camera.identity", False, f"{told}: not a live camera", advice)
    if not config.camera_id:
        return finding("camera.identity", True, f"{told}: recorded now")
    if config.camera_id != told:
        advice = "put the old one back; if it was changed on purpose, unseal and run the self-test with --record-camera"
        return finding("camera.identity", False, f"{told}, but {config.camera_id} was recorded", advice)
    return finding("camera.identity", True, told)


def not_performed(why: str) -> list[Finding]:
    """What frames would have told."""
    return [finding(f"camera.{name}", None, why) for name in _NAMES]


def judge(config: VisionConfig, optics: Optics, limits: Limits) -> list[Finding]:
    """Findings from figures."""
    return [
        exposure(optics, limits),
        light(optics, limits),
        focus(optics, limits),
        noise(optics, limits),
        flicker(optics, limits),
        rate(config, optics, limits),
        distortion(optics, limits),
    ]


def exposure(optics: Optics, limits: Limits) -> Finding:
    """Neither black nor white."""
    mean, clipped = statistics.median(optics.means), statistics.median(optics.clipped)
    crushed, limit = statistics.median(optics.crushed), limits.exposure
    text, advice = f"mean grey level {mean:.0f}", ""
    if mean < limit.darkest or crushed > limit.crushed:
        text, advice = f"too dark: {text}", "more light on the person's place, or take away what covers the lens"
    elif mean > limit.brightest or clipped > limit.clipped:
        text, advice = f"too bright: {text}, {clipped:.0%} white", "turn the camera away from the window or lamp"
    return finding(
        "camera.exposure",
        not advice,
        text,
        advice,
        figures={"mean": mean, "clipped": clipped, "crushed": crushed},
        series={"histogram": (optics.histogram / max(1, len(optics.means))).tolist()},
    )


def light(optics: Optics, limits: Limits) -> Finding:
    """Enough of it where the person stands, and not from behind."""
    centre, surround = statistics.median(optics.centre), statistics.median(optics.surround)
    share, limit = centre / max(surround, 1.0), limits.light
    text, advice = f"grey level {centre:.0f} at the person's place, {surround:.0f} beside it", ""
    if centre < limit.darkest:
        text, advice = f"too dark: {text}", "a lamp beside the camera that lights the person's face"
    elif share < limit.backlight:
        text, advice = f"light from behind: {text}", "close the blind behind the person, or turn the box round"
    return finding("camera.light", not advice, text, advice, figures={"centre": centre, "share": share})


def focus(optics: Optics, limits: Limits) -> Finding:
    """Sharp, if there is anything to be sharp."""
    blur, structure = statistics.median(optics.blurs), statistics.median(optics.structure)
    figures = {"blur": blur, "structure": structure}
    if statistics.median(optics.means) < limits.exposure.darkest:
        return finding("camera.focus", None, "too dark to judge", "first the light, then again", figures=figures)
    if structure < limits.focus.structure:
        advice = "stand in front of it, or hold the printed target there, and run it again"
        return finding("camera.focus", None, "nothing in the picture to focus on", advice, figures=figures)
    sharp = blur <= limits.focus.blur
    text = f"{'sharp' if sharp else 'unfocused'}: blur {blur:.2f} of 1"
    advice = "wipe the lens; turn its focus until this passes at the person's distance"
    return finding("camera.focus", sharp, text, advice, figures=figures, series={"blur": optics.blurs})


def noise(optics: Optics, limits: Limits) -> Finding:
    """Little of it."""
    if not optics.sigmas:
        return finding("camera.noise", None, "too few frames")
    sigma = statistics.median(optics.sigmas)
    text = f"{sigma:.1f} grey levels"
    advice = "more light, so that the camera amplifies less"
    return finding("camera.noise", sigma <= limits.noise.sigma, text, advice, figures={"sigma": sigma})


def flicker(optics: Optics, limits: Limits) -> Finding:
    """None that the frame rate shows."""
    if len(optics.times) < 12:
        return finding("camera.flicker", None, "too few frames")
    seen = optics.flicker()
    there = seen.amplitude >= limits.flicker.amplitude and seen.coherence >= limits.flicker.coherence
    blind = " and ".join(f"{mains} Hz" for mains in seen.unseen)
    text = f"light flickers by {seen.amplitude:.1%}, {seen.mains} Hz mains" if there else "no flicker"
    if blind:
        text += f"; at {optics.rate:.1f} frames/s a lamp on {blind} stands still in the picture and cannot be seen"
    advice = f"set the camera's power-line frequency to {seen.mains} Hz, or take a lamp that does not flicker"
    return finding(
        "camera.flicker",
        None if not there and len(seen.unseen) == 2 else not there,
        text,
        advice,
        figures={"amplitude": seen.amplitude, "coherence": seen.coherence, "mains": float(seen.mains or 0)},
        series={"brightness": optics.means},
    )


def rate(config: VisionConfig, optics: Optics, limits: Limits) -> Finding:
    """As configured, and none lost."""
    found, lost = optics.rate, optics.lost
    good = found >= limits.rate.share * config.fps and lost <= limits.rate.lost
    text = f"{found:.1f} frames/s ({config.fps} configured), {lost:.0%} lost"
    advice = "more light (long exposures are slow), a USB 3 port, or a lower vision.fps"
    steps = [1000 * (b - a) for a, b in zip(optics.times, optics.times[1:], strict=False)]
    figures = {"rate": found, "lost": lost}
    return finding("camera.rate", good, text, advice, figures=figures, series={"milliseconds": steps})


def distortion(optics: Optics, limits: Limits) -> Finding:
    """Straight lines are straight, if the printed target was shown."""
    if not optics.distortions:
        advice = "print the target (`selftest --print-target FILE`) and hold it so that it fills the picture"
        return finding("camera.distortion", None, "no printed target in the picture", advice, advisory=True)
    bent = statistics.median(optics.distortions)
    advice = "a lens with less distortion, or a greater distance"
    good, text = bent <= limits.distortion.share, f"{bent:.2%} of the picture's diagonal"
    return finding("camera.distortion", good, text, advice, advisory=True, figures={"share": bent})
