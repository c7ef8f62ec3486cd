"""One frame of the emulated world: room, people, document, light, lens and sensor.

In: a scenario and a frame size; then a `Pose` for each frame. Out: H x W x 3 uint8 RGB, no two alike, as a sensor's
frames are not. The same seed and the same poses give the same frames.
"""

from __future__ import annotations

import datetime
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from device.vision.camera.base import Image
from device.vision.camera.emulation.attack import KINDS, Instrument
from device.vision.camera.emulation.document_art import DocumentArt, draw_document
from device.vision.camera.emulation.held_document import HeldDocument
from device.vision.camera.emulation.person import Head, Pose
from device.vision.camera.emulation.portrait import load_portrait
from device.vision.camera.emulation.puppet import Puppet
from device.vision.camera.emulation.scenario import Scenario, Species

_SECOND_AT: Final = (0.72, 0.50)
"""Where a second person stands, in shares of the frame."""
_NEAR: Final = 0.55
"""A document at least this high in the frame is so near that what is behind it is out of focus."""
_NOISE_FIELDS: Final = 3
_GAIN_UNIT: Final = 64
_NOISE_UNIT: Final = 8
"""Fixed-point one of the gain and of the noise."""
_SHIFT: Final = 9  # log2 of their product


class Scene:
    """The world of one scenario.

    Args:
        scenario: from its file.
        size: width and height of the frames in pixels.
        seed: of everything random here.
        today: what the document's dates are counted from; None for the real one.

    Raises:
        ConfigurationError: a face or package is missing, or the document cannot be drawn.
    """

    def __init__(
        self, scenario: Scenario, size: tuple[int, int], seed: int, today: datetime.date | None = None
    ) -> None:
        self._scenario, self._size = scenario, size
        self._random = np.random.default_rng([seed, 7])
        who = scenario.person
        self._person = self._before_the_camera(seed)
        beside = who.second_face and who.attack is not Species.PAPER_MASK
        self._second = Puppet(load_portrait(who.second_face)) if beside else None
        self.art = self._draw_art(seed, today or datetime.date.today())
        self._document = HeldDocument(self.art) if self.art else None
        self._room = _room(size, np.random.default_rng([seed, 3]))
        quarter = (size[0] // 4, size[1] // 4)
        self._room_small = np.asarray(cv2.resize(self._room, quarter, interpolation=cv2.INTER_AREA), np.uint8)
        self._light = _light(size, scenario)
        self._sensor = Sensor(size, scenario.light.noise, self._random)

    def _before_the_camera(self, seed: int) -> Puppet | Instrument:
        """The person, or what an attacker holds up instead."""
        who = self._scenario.person
        if who.attack not in KINDS:
            return Puppet(load_portrait(who.face))
        wearer = (
            Puppet(load_portrait(who.second_face)) if who.attack is Species.PAPER_MASK and who.second_face else None
        )
        return Instrument(load_portrait(who.face), who.attack, seed, wearer)

    def _draw_art(self, seed: int, today: datetime.date) -> DocumentArt | None:
        document = self._scenario.document
        if document.layout == "none":
            return None
        return draw_document(document, load_portrait(document.portrait).document_picture(), today, seed)

    def frame(self, pose: Pose) -> Image:
        """What the camera sees of `pose`."""
        held = pose.held if self._document is not None else None
        if held is not None and held.height > _NEAR:  # the lens is focused on what is near
            people = self._people(pose, self._room_small)
            image = np.asarray(cv2.resize(people, self._size, interpolation=cv2.INTER_LINEAR), np.uint8)
        else:
            image = self._people(pose, self._room)
        if held is not None and self._document is not None:
            self._document.draw(image, held)
        cv2.multiply(image, self._light, image, 1 / 128)
        if pose.cover > 0:
            image = _covered(image, pose.cover)
        if self._scenario.person.attack is Species.MESH_WARP_INJECTED:
            return image  # no sensor ever saw it
        return self._sensor.expose(image)

    def _people(self, pose: Pose, room: Image) -> Image:
        """The room and who is in it, in the resolution of `room`; softened where that is not the frame's."""
        image = room.copy()
        if pose.second is not None and self._second is not None:
            self._draw(image, self._second, pose.second, _SECOND_AT)
        if pose.head is not None:
            self._draw(image, self._person, pose.head, (self._scenario.person.x, self._scenario.person.y))
        return image if room is self._room else np.asarray(cv2.GaussianBlur(image, (0, 0), 1.3), np.uint8)

    def dark(self) -> Image:
        """What a sensor without light gives: its pedestal and its reading noise."""
        width, height = self._size
        return self._sensor.expose(np.full((height, width, 3), 4, np.uint8))

    def _draw(self, image: Image, puppet: Puppet | Instrument, head: Head, place: tuple[float, float]) -> None:
        height, width = image.shape[:2]
        centre = (place[0] * width + head.x * height, (place[1] + head.y) * height)
        puppet.draw(image, head, centre, self._scenario.person.height * height)


class Sensor:
    """Turns light into samples: photon and read noise, correlated between neighbours as after demosaicing.

    Args:
        size: width and height in pixels.
        noise: standard deviation at mid-grey.
        random: draws the noise.
    """

    def __init__(self, size: tuple[int, int], noise: float, random: np.random.Generator) -> None:
        self._random, self._size = random, size
        width, height = size[0] + 64, size[1] + 64
        self._fields = []
        for _ in range(_NOISE_FIELDS):
            field = np.asarray(
                cv2.GaussianBlur(random.standard_normal((height, width, 3), np.float32), (0, 0), 0.6), np.float32
            )
            field *= np.float32(noise / float(field.std()))
            # Half a grey level more, since shifting rounds down. Products with a gain of up to 2 fit 16 bits.
            self._fields.append(np.clip((field + 0.5) * _NOISE_UNIT, -255, 255).astype(np.int16))
        self._scratch = np.empty((size[1], size[0], 3), np.int16)
        signal = np.arange(256, dtype=np.float32) / 128
        # Variance grows with the light (photons) over a floor (reading): 1 at mid-grey.
        self._gain = np.clip(np.sqrt(0.12 + 0.88 * signal) * _GAIN_UNIT, 0, 127).astype(np.uint8)

    def expose(self, image: Image) -> Image:
        """A noisy copy of `image`."""
        x, y = self._random.integers(0, 64, 2).tolist()
        field = self._fields[int(self._random.integers(_NOISE_FIELDS))]
        noise = field[y : y + self._size[1], x : x + self._size[0]]
        scaled = self._scratch
        np.multiply(cv2.LUT(image, self._gain), noise, out=scaled)
        np.right_shift(scaled, _SHIFT, out=scaled)
        return np.asarray(cv2.add(image, scaled, dtype=cv2.CV_8U), np.uint8)


def _room(size: tuple[int, int], random: np.random.Generator) -> Image:
    """A wall, a door frame, a shelf and a picture, all out of focus."""
    width, height = size
    room = np.empty((height, width, 3), np.uint8)
    room[:] = random.integers(168, 200) + random.integers((0, -2, -12), (10, 4, 2))
    door = round(width * random.uniform(0.05, 0.16))
    cv2.rectangle(room, (door, round(height * 0.08)), (door + width // 6, height), (150, 140, 128), -1)
    cv2.rectangle(room, (door + 14, round(height * 0.12)), (door + width // 6 - 14, height), (168, 158, 146), -1)
    shelf = round(height * random.uniform(0.30, 0.42))
    cv2.rectangle(room, (round(width * 0.70), shelf), (width, shelf + height // 40), (120, 96, 76), -1)
    x = round(width * 0.72)
    while x < width - 10:
        book, tall = int(random.integers(width // 70, width // 35)), int(random.integers(height // 8, height // 5))
        tone = random.integers(50, 190, 3).tolist()
        cv2.rectangle(room, (x, shelf - tall), (x + book, shelf), tone, -1)
        x += book + 3
    return np.asarray(cv2.GaussianBlur(room, (0, 0), height / 110), np.uint8)


def _light(size: tuple[int, int], scenario: Scenario) -> Image:
    """What light does to each pixel, 128 for nothing: exposure, a lamp from one side, colour, the lens's fall-off."""
    width, height = size
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light = scenario.light
    level = light.level * (1 + 0.5 * light.gradient * (-0.8 * x - 0.5 * y)) * (1 - 0.10 * (x * x + y * y) / 2)
    colour = np.array([1 + light.warmth, 1.0, 1 - light.warmth], np.float32)
    return np.clip(128 * level[:, :, None] * colour, 0, 255).astype(np.uint8)


def _covered(image: Image, cover: float) -> Image:
    """A palm that comes from below and then lies on the lens: what light there is shines red through the fingers."""
    height = image.shape[0]
    rows = np.arange(height, dtype=np.float32)[:, None]
    palm = np.clip((rows - height * (1.25 - 1.5 * cover)) / (0.22 * height), 0, 1)
    light = (255 * (1 - palm)).astype(np.uint8)
    open_ = cv2.cvtColor(np.ascontiguousarray(np.broadcast_to(light, image.shape[:2])), cv2.COLOR_GRAY2RGB)
    glow: npt.NDArray[np.uint8] = np.empty_like(image)
    glow[:] = (11, 4, 3)
    return np.asarray(cv2.add(cv2.multiply(image, open_, scale=1 / 255), glow), np.uint8)
