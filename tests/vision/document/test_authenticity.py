"""A portrait in its place, colour that no copy has, and no display's grid; and no answer where nothing can be said."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from device.protocol import DocumentType, Reason, Result
from device.vision.document import authenticity

WIDTH, HEIGHT = 856, 540


@dataclass(frozen=True)
class Face:
    box: tuple[float, float, float, float]


PORTRAIT = Face((80.0, 140.0, 260.0, 380.0))
GHOST = Face((620.0, 250.0, 710.0, 370.0))


def _card(seed: int = 1) -> np.ndarray:
    """A coloured card with a portrait's colours, guilloches and print."""
    generator = np.random.default_rng(seed)
    ramp = np.linspace(0, 1, WIDTH)[None, :, None]
    card = (
        np.broadcast_to((205, 225, 235) * (1 - ramp) + (235, 210, 200) * ramp, (HEIGHT, WIDTH, 3))
        .astype(np.uint8)
        .copy()
    )
    for index in range(25):
        wave = 20 * index + 15 * np.sin(np.arange(WIDTH) / 40 + index)
        points = np.stack([np.arange(WIDTH), wave], axis=1).astype(np.int32)
        cv2.polylines(card, [points], False, (160, 190, 180), 1, cv2.LINE_AA)
    cv2.rectangle(card, (60, 110), (280, 400), (120, 150, 190), -1)
    cv2.ellipse(card, (170, 260), (70, 100), 0, 0, 360, (205, 160, 130), -1)
    for row in range(8):
        cv2.putText(card, "UTOPIA ERIKSSON 1234", (320, 120 + 40 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (30, 30, 40), 2)
    return np.clip(card + generator.normal(0, 3, card.shape), 0, 255).astype(np.uint8)


def _copy(card: np.ndarray, tint: tuple[float, float, float] = (1.0, 0.96, 0.86)) -> np.ndarray:
    grey = cv2.cvtColor(card, cv2.COLOR_RGB2GRAY).astype(np.float64)[:, :, None]
    noise = np.random.default_rng(2).normal(0, 3, card.shape)
    return np.clip((25 + grey * 0.85) * tint + noise, 0, 255).astype(np.uint8)


def _screen(card: np.ndarray, pitch: float = 2.7, contrast: float = 0.08) -> np.ndarray:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    turned = x * np.cos(0.13) + y * np.sin(0.13)
    shown = card.astype(np.float64)
    for channel in range(3):
        shown[:, :, channel] *= 1 + contrast * np.cos(2 * np.pi * (turned / pitch + channel / 3))
    return np.clip(shown, 0, 255).astype(np.uint8)


def _assess(image: np.ndarray | None, faces: list[Face] | None = None, **more: object) -> authenticity.Presentation:
    kind = more.pop("kind", DocumentType.IDENTITY_CARD)
    return authenticity.assess(image, [PORTRAIT] if faces is None else faces, kind, **more)  # type: ignore[arg-type]


def test_a_genuine_looking_card_passes() -> None:
    presentation = _assess(_card())
    assert presentation.report.result is Result.PASS
    assert set(presentation.details) == {"portrait", "copy", "recapture"}


@pytest.mark.parametrize(
    ("faces", "reason"),
    [
        ([], Reason.PORTRAIT_MISSING),
        ([Face((80.0, 140.0, 100.0, 165.0))], Reason.PORTRAIT_MISSING),
        ([Face((0.0, 0.0, 850.0, 530.0))], Reason.PORTRAIT_MISSING),
        ([Face((900.0, 140.0, 1100.0, 380.0))], Reason.PORTRAIT_MISSING),
        ([PORTRAIT, Face((500.0, 140.0, 680.0, 380.0))], Reason.PORTRAIT_MULTIPLE),
        ([PORTRAIT], None),
        ([PORTRAIT, GHOST], None),
    ],
    ids=["none", "too small", "as large as the card", "beside the card", "two", "one", "one and its ghost"],
)
def test_portrait(faces: list[Face], reason: Reason | None) -> None:
    presentation = _assess(_card(), faces)
    assert presentation.details["portrait"][1] is reason
    assert presentation.report.result is (Result.PASS if reason is None else Result.FAIL)


def test_a_side_without_portrait_needs_none() -> None:
    presentation = _assess(_card(), [], portrait_side=False)
    assert presentation.details["portrait"] == (Result.NOT_PERFORMED, Reason.NOT_REQUIRED)
    assert presentation.report.result is Result.PASS


def test_a_visa_sticker_without_portrait_is_no_failure() -> None:
    assert _assess(_card(), [], kind=DocumentType.VISA).report.result is Result.NOT_PERFORMED


def test_nobody_looked_for_faces() -> None:
    presentation = authenticity.assess(_card(), None, DocumentType.PASSPORT)
    assert presentation.report.result is Result.NOT_PERFORMED
    assert presentation.report.reason is Reason.NOT_REACHED


def test_no_document_no_answer() -> None:
    presentation = _assess(None)
    assert presentation.report.result is Result.NOT_PERFORMED
    assert presentation.report.reason is Reason.DOCUMENT_NOT_FOUND


@pytest.mark.parametrize(
    "tint", [(1.0, 1.0, 1.0), (1.0, 0.9, 0.7), (0.8, 0.9, 1.0)], ids=["white", "tungsten", "shade"]
)
def test_black_and_white_copies_are_seen_under_any_light(tint: tuple[float, float, float]) -> None:
    presentation = _assess(_copy(_card(), tint))
    assert (presentation.report.result, presentation.report.reason) == (Result.FAIL, Reason.DOCUMENT_COPY)


def test_a_coloured_light_makes_no_colour_print_a_copy() -> None:
    lit = np.clip(_card() * np.array([1.0, 0.85, 0.65]), 0, 255).astype(np.uint8)
    assert _assess(lit).details["copy"] == (Result.PASS, None)


def test_a_display_is_seen_by_its_grid() -> None:
    presentation = _assess(_screen(_card()))
    assert (presentation.report.result, presentation.report.reason) == (Result.FAIL, Reason.DOCUMENT_RECAPTURE)
    assert presentation.scores["recapture"] > _assess(_card()).scores["recapture"]


def test_a_small_picture_says_nothing_of_a_grid() -> None:
    presentation = _assess(cv2.resize(_card(), (220, 139)), [Face((20.0, 36.0, 66.0, 98.0))])
    assert presentation.details["recapture"] == (Result.NOT_PERFORMED, Reason.EVIDENCE_WEAK)
    assert presentation.report.result is Result.NOT_PERFORMED


@pytest.mark.parametrize("image", [np.zeros((540, 856, 3), np.uint8), np.full((540, 856, 3), 255, np.uint8)])
def test_blank_pictures_do_not_pass(image: np.ndarray) -> None:
    assert _assess(image).report.result is not Result.PASS
