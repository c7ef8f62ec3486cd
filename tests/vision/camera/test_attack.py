"""Presentation attack instruments: planes stay planes, screens play recordings, injected frames have no noise."""

import cv2
import numpy as np
import pytest

from device.config import VisionConfig
from device.protocol import Guidance, Progress, Stage
from device.vision.camera.base import Image, open_camera
from device.vision.camera.emulation.attack import KINDS, Instrument
from device.vision.camera.emulation.person import Head
from device.vision.camera.emulation.portrait import load_portrait
from device.vision.camera.emulation.puppet import Puppet
from device.vision.camera.emulation.scenario import Species, built_in_scenarios, load_scenario


def shown(species: Species, head: Head) -> Image:
    frame = np.full((720, 1280, 3), (90, 110, 130), np.uint8)
    wearer = Puppet(load_portrait("grace_hopper")) if species is Species.PAPER_MASK else None
    Instrument(load_portrait("astronaut"), species, 1, wearer).draw(frame, head, (640, 360), 288)
    return frame


def differs(one: Image, other: Image) -> float:
    """Mean difference in the middle of the frame, grey levels, after the sharpest detail is taken out."""
    part = np.s_[200:520, 480:800]
    blurred = [cv2.GaussianBlur(image[part], (0, 0), 2).astype(float) for image in (one, other)]
    return float(np.abs(blurred[0] - blurred[1]).mean())


def test_every_species_has_a_scenario_of_its_own() -> None:
    played = {load_scenario(name).person.attack for name in built_in_scenarios()}
    assert played == set(Species)


@pytest.mark.parametrize("species", sorted(KINDS))
def test_an_instrument_is_drawn_and_leaves_the_corners_of_the_frame(species: Species) -> None:
    frame = shown(species, Head())
    assert differs(frame, np.full_like(frame, 100)) > 15
    assert (frame[:40, :40] == (90, 110, 130)).all()


@pytest.mark.parametrize("species", [Species.PRINT_FLAT, Species.PRINT_BENT])
def test_a_print_cannot_blink_or_speak(species: Species) -> None:
    assert differs(shown(species, Head()), shown(species, Head(eyes_closed=1, mouth_open=1))) < 0.5


@pytest.mark.parametrize("species", [Species.PRINT_EYE_HOLES, Species.PAPER_MASK])
def test_eyes_behind_holes_can_blink(species: Species) -> None:
    still = shown(species, Head())
    assert differs(still, shown(species, Head(eyes_closed=1))) > 0.3


@pytest.mark.parametrize("species", [Species.PHONE_REPLAY, Species.TABLET_REPLAY, Species.LAPTOP_REPLAY])
def test_a_screen_plays_a_turn_without_turning(species: Species) -> None:
    """The bezel stays where it is while the face on it turns."""
    straight, turned = shown(species, Head()), shown(species, Head(yaw=25))
    assert differs(straight, turned) > 3
    dark = [(frame.max(axis=2) < 30) for frame in (straight, turned)]
    bezel = dark[0] & dark[1]
    bezel[150:570, 420:860] = False
    assert bezel.sum() > 0.8 * np.delete(dark[0], np.s_[150:570], axis=0).sum() - 40_000


def test_a_flat_print_turns_by_a_homography() -> None:
    """Points of the turned print are where a plane's perspective puts them, to a fraction of a pixel."""
    instrument = Instrument(load_portrait("astronaut"), Species.PRINT_FLAT, 1)
    before, _ = instrument._corners(Head())
    after, _ = instrument._corners(Head(yaw=25, pitch=6))
    matrix, _ = cv2.findHomography(before, after)
    mapped = cv2.perspectiveTransform(before[None], matrix)[0]
    assert np.abs(mapped - after).max() < 1e-4


def test_a_bent_print_does_not() -> None:
    instrument = Instrument(load_portrait("astronaut"), Species.PRINT_BENT, 1)
    before, _ = instrument._corners(Head())
    after, _ = instrument._corners(Head(yaw=25))
    matrix, _ = cv2.findHomography(before, after)
    assert np.abs(cv2.perspectiveTransform(before[None], matrix)[0] - after).max() > 0.01


def test_injected_frames_have_no_noise() -> None:
    with open_camera(VisionConfig(camera="emulated:attack_mesh_warp_injected", pace="fast")) as camera:
        camera.prompt(Progress(Stage.SELFIE, Guidance.TURN_LEFT, 20))
        frames = [camera.read(0.2) for _ in range(12)]
    first, last = frames[0], frames[-1]
    assert first is not None
    assert last is not None
    assert np.array_equal(first.image[:60, :60], last.image[:60, :60])
    assert not np.array_equal(first.image, last.image)
