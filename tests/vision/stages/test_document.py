"""The document stages: whose portrait counts, which way up it is, and when the other side is asked for."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from device.protocol import CameraKind, FmrLevel, Guidance, Stage
from device.vision.camera.base import CameraIdentity, Frame
from device.vision.document.fusion import DocumentFusion
from device.vision.document.mrz_layouts import compose
from device.vision.document.reader import DocumentReading
from device.vision.face.matcher import FaceMatcher
from device.vision.face.view import FaceScene
from device.vision.stages.base import Findings
from device.vision.stages.document import OTHER_SIDE_AFTER, DocumentSides, DocumentStage, DocumentTools
from device.vision.stages.document_portraits import PORTRAITS_WANTED
from tests.vision.document import test_fusion
from tests.vision.document.synthetic import TODAY, with_fields
from tests.vision.face import pictures

CAMERA = CameraIdentity(CameraKind.LIVE, "test")
IMAGE = np.zeros((480, 640, 3), np.uint8)
CARD = np.zeros((300, 476, 3), np.uint8)
PASSPORT = compose("TD3", with_fields())
VICTIM = compose("TD3", with_fields(surname="MUSTERMANN", given_names="ERIKA", document_number="C01X00T47"))
BACK = compose("TD1", with_fields(document_code="I", optional_data=()))
PERSONS = {name: np.eye(3, dtype=np.float32)[number] for number, name in enumerate(("ANNA", "ERIKA", "OTTO"))}


def portrait(person, *, width=90.0, roll=0.0, shape=CARD.shape[:2]):
    return SimpleNamespace(
        person=person,
        detection=SimpleNamespace(box=(40.0, 60.0, 40.0 + width, 60.0 + width), score=0.9),
        landmarks=SimpleNamespace(inter_eye=width / 3, person=person),
        pose=SimpleNamespace(roll=roll),
        quality=SimpleNamespace(usable_portrait=True),
        shape=shape,
    )


def shown(lines=(), *, zone=False):
    """What the reader makes of a frame: lines of a zone, or none."""
    reading = test_fusion.frame(lines) if lines else test_fusion.blank()
    return DocumentReading(
        None, CARD, reading.lines, reading.mrz, (), Guidance.DOCUMENT_UNCLEAR, 1.0, bool(lines or zone)
    )


def sides(script, *, embedder=True, level=0.5, **looks):
    """Sides that saw the frames of a script: pairs of a reading and the person whose portrait is on it, or None."""
    frames = iter(script)
    current = []

    def read(_image):
        current[:] = next(frames)
        return current[0]

    def look(_image):
        view = portrait(current[1], **looks) if current[1] else None
        return FaceScene((view.detection,) if view else (), view)

    findings = Findings()
    tools = DocumentTools(
        SimpleNamespace(read=read),
        SimpleNamespace(look=look, search=lambda _image: []),
        SimpleNamespace(embed=lambda _image, landmarks: PERSONS[landmarks.person]) if embedder else None,
        None,
        FaceMatcher({fmr.value: level for fmr in FmrLevel}) if embedder else None,
    )
    seen = DocumentSides(tools, DocumentFusion(TODAY), findings)
    stage = DocumentStage(Stage.DOCUMENT, seen, (), findings)
    for number in range(len(script)):
        stage.observe(Frame(IMAGE, number / 15, number, CAMERA))
    return seen, stage, persons(findings)


def persons(findings):
    """Whose portraits were kept."""
    return [next(name for name, row in PERSONS.items() if (row == kept).all()) for kept in findings.portraits]


# --- Whose portrait it is --------------------------------------------------------------------------------------------


def test_a_passport_page_has_both():
    seen, stage, kept = sides([(shown(PASSPORT), "ANNA")] * PORTRAITS_WANTED)
    assert seen.complete
    assert stage.done
    assert kept == ["ANNA"] * PORTRAITS_WANTED


@pytest.mark.parametrize("level", [0.5, -0.5], ids=["two people", "two people who look alike"])
def test_ones_own_card_and_then_the_passport_of_somebody_else(level):
    own, page = (shown(), "OTTO"), (shown(VICTIM), "ERIKA")
    seen, _, kept = sides([own] * 3 + [page] * 3, level=level)
    assert kept == ["ERIKA"] * 3
    assert seen.complete
    seen, _, kept = sides([page] * 3 + [own] * 3, level=level)
    assert "OTTO" not in kept


def test_ones_own_passport_and_then_the_passport_of_somebody_else():
    _, _, kept = sides([(shown(PASSPORT), "ANNA")] * 3 + [(shown(VICTIM), "ERIKA")] * 6, level=-0.5)
    assert kept == ["ERIKA"] * 3


def test_ones_own_card_and_then_a_passport_whose_portrait_is_covered():
    seen, _, kept = sides([(shown(), "OTTO")] * 3 + [(shown(VICTIM), None)] * 4)
    assert kept == []
    assert not seen.complete


def test_ones_own_passport_and_then_another_like_it_whose_portrait_is_covered():
    seen, _, kept = sides([(shown(PASSPORT), "ANNA")] * 3 + [(shown(VICTIM), None)] * 6)
    assert seen.fusion.result().lines == VICTIM
    assert kept == []


def test_a_front_and_a_back_of_two_people_never_mix_portraits():
    seen, _, kept = sides([(shown(), "OTTO")] * 3 + [(shown(), "ANNA")] * 2 + [(shown(BACK), None)] * 2)
    assert kept == ["ANNA"] * 2
    assert not seen.complete


def test_a_card_has_its_portrait_on_the_other_side():
    seen, _, kept = sides([(shown(), "ANNA")] * 3 + [(shown(BACK), None)] * 2)
    assert kept == ["ANNA"] * 3
    assert seen.complete


def test_without_an_embedder_portraits_are_counted_all_the_same():
    seen, _, kept = sides([(shown(), "OTTO")] * 3 + [(shown(VICTIM), None)] * 4, embedder=False)
    assert kept == []
    assert not seen.complete
    assert sides([(shown(PASSPORT), "ANNA")] * 3, embedder=False)[0].complete


# --- Which side it is on ---------------------------------------------------------------------------------------------


def test_a_side_with_a_portrait_and_no_text_is_turned_over():
    front = (shown(), "ANNA")
    assert not sides([front] * (OTHER_SIDE_AFTER - 1))[1].done
    assert sides([front] * OTHER_SIDE_AFTER)[1].done


def test_a_page_with_a_zone_is_not_turned_over():
    assert not sides([(shown(zone=True), "ANNA")] * (2 * OTHER_SIDE_AFTER))[1].done


# --- Which way up it is ----------------------------------------------------------------------------------------------


def photograph(turns, size=(476, 300)):
    """An upright card with a portrait on its upper half, turned by quarters clockwise."""
    face = pictures.astronaut()[20:260, 110:330]
    card = np.full((size[0], size[1], 3), 210, np.uint8)
    small = cv2.resize(face, (150, 164), interpolation=cv2.INTER_AREA)
    card[60:224, 75:225] = small
    return np.ascontiguousarray(np.rot90(card, -turns))


@pytest.mark.parametrize(
    ("shape", "width", "taken"),
    [((476, 300), 110.0, True), ((476, 300), 165.0, False), ((300, 476), 110.0, True), ((300, 476), 30.0, False)],
    ids=["upright card", "too large on it", "lying card", "too small on it"],
)
def test_a_portrait_is_measured_against_the_long_side(shape, width, taken):
    assert sides([(shown(), "ANNA")], shape=shape, width=width)[0].portraits_seen == taken


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_an_upright_card_gives_its_portrait_whichever_way_it_was_cut_out(finder, turns):
    reading = DocumentReading(None, photograph(turns), (), None, (), None, 1.0)
    embedded = []
    tools = DocumentTools(
        SimpleNamespace(read=lambda _image: reading),
        finder,
        SimpleNamespace(embed=lambda image, _landmarks: embedded.append(image) or np.ones(3, np.float32)),
        None,
    )
    seen = DocumentSides(tools, DocumentFusion(TODAY), Findings())
    seen.observe(Frame(IMAGE, 0.0, 0, CAMERA))
    assert seen.portraits_seen == 1
    assert np.array_equal(embedded[0], photograph(0))
