import datetime
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from device.commands.documents import evaluate_documents, read
from device.evaluation.documents import edit_distance
from device.protocol import Guidance, Reason
from device.vision.camera.base import Image
from device.vision.document import mrz
from device.vision.document.reader import DocumentReader
from device.vision.document.zone_search import Zone
from device.vision.inference.manifest import load_manifest
from device.vision.stills import load_still
from models.training.resident_scenes import ResidentCards
from tests.vision.document import scenes
from tests.vision.document.synthetic import evidence, specimen_lines
from tests.vision.document.test_aamva import payload
from tests.vision.document.test_barcode import _on_card, _symbol

TODAY = datetime.date(2026, 6, 1)


@pytest.fixture(scope="module")
def reader() -> DocumentReader:
    return DocumentReader(load_manifest(), today=TODAY, thorough=False)


def test_photographs_are_read_whichever_way_up(reader: DocumentReader) -> None:
    pictures = scenes.good(10)
    exact = 0
    for scene in pictures:
        reading = reader.read(scene.image)
        if reading.mrz is not None and reading.mrz.consistent:
            assert reading.mrz.lines == scene.lines
            assert reading.mrz.layout == scene.layout
            assert reading.guidance is None
            assert reading.document_image is not None
            exact += 1
    assert exact >= 9


def test_what_is_printed_wrong_is_read_as_printed(reader: DocumentReader) -> None:
    read_as_printed = 0
    for scene in scenes.altered(10):
        reading = reader.read(scene.image)
        assert reading.mrz is not None
        if reading.mrz.consistent:  # no check digit covers a name
            assert reading.mrz.lines == scene.lines
        read_as_printed += reading.mrz.lines == scene.lines
    assert read_as_printed >= 9


def test_the_document_is_cut_out_upright(reader: DocumentReader) -> None:
    scene = scenes.good(1, seed=21)[0]
    reading = reader.read(scene.image)
    assert reading.quad is not None
    assert reading.document_image is not None
    again = reader.read(reading.document_image)
    assert again.mrz is not None
    assert again.mrz.lines == scene.lines
    top = (again.quad[0] + again.quad[1]) / 2 if again.quad is not None else np.zeros(2)
    assert top[1] < reading.document_image.shape[0] / 4  # the zone is at the foot, so this is the right way up


def test_light_print_on_dark_ground() -> None:
    scene = scenes.good(1, seed=8)[0]
    reading = DocumentReader(load_manifest(), today=TODAY).read(255 - scene.image)
    assert reading.mrz is not None
    assert reading.mrz.lines == scene.lines


def test_a_small_card_and_a_large_still(reader: DocumentReader) -> None:
    scene = scenes.good(1, seed=8)[0]
    large = cv2.resize(scene.image, (4000, 3000), interpolation=cv2.INTER_CUBIC)
    reading = reader.read(np.asarray(large, np.uint8))
    assert reading.mrz is not None
    assert reading.mrz.lines == scene.lines


@pytest.mark.parametrize(
    ("picture", "guidance"),
    [(scenes.flat(128), Guidance.SHOW_DOCUMENT), (scenes.flat(8), Guidance.TOO_DARK)],
    ids=["nothing_there", "too_dark"],
)
def test_guidance_without_a_document(reader: DocumentReader, picture: Image, guidance: Guidance) -> None:
    reading = reader.read(picture)
    assert reading.guidance is guidance
    assert reading.lines == ()
    assert reading.mrz is None


def test_guidance_for_a_document_too_far_away(reader: DocumentReader) -> None:
    scene = scenes.good(1, seed=31)[0]
    factor = 3.6 / scene.capital
    small = cv2.resize(scene.image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    reading = reader.read(np.asarray(small, np.uint8))
    assert reading.mrz is None or not reading.mrz.consistent
    assert reading.guidance in (Guidance.MOVE_CLOSER, Guidance.SHOW_DOCUMENT, Guidance.DOCUMENT_UNCLEAR)


def test_the_model_has_a_measurement(reader: DocumentReader) -> None:
    assert all(len(digest) == 32 for digest in reader.measurements.values())


# --- Commands --------------------------------------------------------------------------------------------------------


def save(path: Path, picture: Image) -> str:
    cv2.imwrite(str(path), picture[:, :, ::-1])
    return str(path)


def test_read_prints_one_object_a_line(tmp_path: Path) -> None:
    scene = scenes.good(1, seed=8)[0]
    names = [save(tmp_path / "page.png", scene.image), save(tmp_path / "blank.png", scenes.flat())]
    result = CliRunner().invoke(read, ["--json", *names])
    page, blank = (json.loads(line) for line in result.stdout.splitlines())
    assert result.exit_code == 1  # nothing was read on one of them
    assert tuple(page["lines"]) == scene.lines
    assert page["format"] == scene.layout
    assert page["fields"]["issuing_state"] == "UTO"
    assert page["checks"]["document.read"] == {"result": "pass", "reason": None}
    assert page["checks"]["document.consistency"]["result"] == "pass"
    assert page["cpu_ms"] > 0
    assert blank["lines"] == []
    assert blank["format"] == ""
    assert blank["checks"]["document.read"]["reason"] == Reason.DOCUMENT_NOT_FOUND


@scenes.needs_chinese
def test_read_knows_the_number_of_a_resident_card(tmp_path: Path) -> None:
    scene = ResidentCards(19, hard=0.25, capital=(12.0, 22.0)).sample()
    result = CliRunner().invoke(read, ["--json", save(tmp_path / "card.png", scene.image)])
    card = json.loads(result.stdout)
    assert result.exit_code == 0
    assert card["format"] == "GB11643"
    assert tuple(card["lines"]) == scene.lines
    assert card["fields"]["national_number"] == scene.lines[0]
    assert card["fields"]["issuing_state"] == "CHN"
    assert card["checks"]["document.consistency"] == {"result": "pass", "reason": None}


def test_read_names_the_file_that_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    result = CliRunner().invoke(read, [str(tmp_path / "text.jpg")])
    assert result.exit_code == 2
    assert "text.jpg" in result.stderr
    assert result.stderr.count("\n") == 1


@scenes.needs_chinese
def test_evaluate_documents(tmp_path: Path) -> None:
    pictures = [*scenes.good(2, seed=8), ResidentCards(19, hard=0.25, capital=(12.0, 22.0)).sample()]
    pictures.append(scenes.good(3, seed=8)[2])
    truth = []
    for index, scene in enumerate(pictures):
        save(tmp_path / f"{index}.png", scene.image)
        truth.append({"file": f"{index}.png", "lines": list(scene.lines), "tags": []})
    truth[3]["lines"] = [line[::-1] for line in pictures[3].lines]  # a wrong truth must show as a wrong reading
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    report = tmp_path / "report.html"
    result = CliRunner().invoke(evaluate_documents, [str(tmp_path), "--json", "--portraits", "--report", str(report)])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["total"] == 4
    assert figures["exact"] == 3
    assert figures["wrong_but_consistent"] == 1
    assert figures["cer"] > 0.1
    assert figures["without_portrait"] == [f"{index}.png" for index in range(4)]  # none has one
    assert "3.png" in report.read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["", "{}", '[{"file": ""}]', '[{"lines": []}]', "[]"])
def test_evaluate_documents_refuses_a_bad_truth(tmp_path: Path, text: str) -> None:
    (tmp_path / "truth.json").write_text(text)
    result = CliRunner().invoke(evaluate_documents, [str(tmp_path)])
    assert result.exit_code != 0
    assert "truth.json" in str(result.exception)


@pytest.mark.parametrize(
    ("said", "printed", "distance"),
    [("", "", 0), ("AB", "AB", 0), ("AB", "", 2), ("KITTEN", "SITTING", 3), ("A", "B", 1)],
)
def test_edit_distance(said: str, printed: str, distance: int) -> None:
    assert edit_distance(said, printed) == distance


# --- The photographs that are not part of the project ----------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.timeout(400)
def test_specimen_photographs(shared: Path) -> None:
    from device.evaluation.documents import figures, read_cases

    folder = shared / "data/documents/mrz_images"
    found = figures(list(read_cases(folder, DocumentReader(load_manifest()))))
    assert found.exact / found.total >= 0.9  # issue 3: 64 of 71
    assert found.wrong_but_consistent == 0


@pytest.mark.shared
def test_a_turned_and_shrunk_photograph(shared: Path) -> None:
    reader = DocumentReader(load_manifest(), thorough=False)
    picture = load_still(shared / "data/documents/mrz_images/passporteye/100_pass-bdr.jpg")
    expected = reader.read(picture)
    turned = reader.read(np.ascontiguousarray(np.rot90(picture, 3)))
    assert expected.mrz is not None
    assert turned.mrz is not None
    assert turned.mrz.lines == expected.mrz.lines


def test_a_barcode_that_is_no_licence_does_not_stand_for_the_text(reader: DocumentReader) -> None:
    ticket, licence = (
        reader.read(_on_card(_symbol("PDF417", data))) for data in (b"an inventory number 0123456789", payload())
    )
    assert (len(ticket.barcodes), ticket.has_zone) == (1, False)
    assert (len(licence.barcodes), licence.has_zone) == (1, True)


def test_clear_print_that_is_no_zone_does_not_stand_for_the_text(
    reader: DocumentReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = evidence("A" * 31)
    line = SimpleNamespace(evidence=printed, box=None, reading=printed, pitch=5.0)
    monkeypatch.setattr(reader._search, "find", lambda _grey, _today: Zone([line]))  # type: ignore[list-item]
    assert not reader.read(scenes.flat()).has_zone


def test_a_zone_with_a_wrong_check_digit_is_a_zone(reader: DocumentReader, monkeypatch: pytest.MonkeyPatch) -> None:
    upper, lower = specimen_lines("TD3")
    wrong = mrz.parse((upper, lower[:13] + "8" + lower[14:]), TODAY)
    monkeypatch.setattr(reader._search, "find", lambda _grey, _today: Zone([], wrong))
    assert reader.read(scenes.flat()).has_zone
