"""Findings about models, key, services and time; the report as table, page and file; the whole command."""

from __future__ import annotations

import json
import shutil
import xml.dom.minidom
from pathlib import Path

import msgspec
import pytest

from device.errors import ConfigurationError, ModelError
from device.protocol import Result
from device.vision.inference.manifest import Manifest, load_manifest, package_folder
from provisioning.box import change_config
from provisioning.selftest import product
from provisioning.selftest.known_answers import CORRELATION, Answer, agreement, load_answers
from provisioning.selftest.limits import load_limits
from provisioning.selftest.models import look_at_models
from provisioning.selftest.page import render_page
from provisioning.selftest.report import finding, load_report, make_report
from provisioning.selftest.runner import record_camera
from tests.provisioning.conftest import CAMERA, Bench

ONE = "text-line"


def only(folder: Path, name: str = ONE) -> Manifest:
    """A manifest with one model, whose file lies in `folder`."""
    whole = load_manifest()
    entry = whole.entry(name)
    shutil.copy(whole.path(entry), folder / entry.file)
    return Manifest({name: (entry, folder)}, {}, (folder,))


def test_a_model_that_is_right(tmp_path: Path) -> None:
    manifest = only(tmp_path)
    (found,) = look_at_models(manifest)
    assert found.result is Result.PASS
    known = load_answers().get(ONE)
    if known is not None and known.sha256 == manifest.entry(ONE).sha256:
        assert found.figures["agreement"] >= CORRELATION


def test_one_wrong_byte_in_a_model(tmp_path: Path) -> None:
    manifest = only(tmp_path)
    path = manifest.path(manifest.entry(ONE))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (found,) = look_at_models(manifest)
    assert (found.name, found.result, found.blocks) == (f"models.{ONE}", Result.FAIL, True)
    assert "SHA-256" in found.text
    path.unlink()
    assert look_at_models(manifest)[0].result is Result.FAIL


def test_a_right_model_that_answers_otherwise(tmp_path: Path) -> None:
    manifest = only(tmp_path)
    entry = manifest.entry(ONE)
    from provisioning.selftest.known_answers import answer_of

    right = answer_of(manifest, entry)
    assert look_at_models(manifest, {ONE: right})[0].result is Result.PASS
    wrong = Answer(entry.sha256, [[-value for value in output[::-1]] for output in right.outputs])
    (found,) = look_at_models(manifest, {ONE: wrong})
    assert found.result is Result.FAIL
    assert "answers otherwise" in found.text
    (unknown,) = look_at_models(manifest, {ONE: Answer("00", [])})
    assert "no known answer" in unknown.text


def test_agreement_of_answers() -> None:
    a = Answer("", [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.5], [0.5]])
    assert agreement(a, a) == pytest.approx(1)
    assert agreement(a, Answer("", [a.outputs[0], [0.9]])) == 0
    assert agreement(a, Answer("", [a.outputs[0]])) == 0
    assert agreement(a, Answer("", [[float("nan")] * 8, [0.5]])) == 0
    assert agreement(a, Answer("", [[1.0] * 8, [0.5]])) == 0


def test_committed_models_have_a_known_answer() -> None:
    known = load_answers()
    packaged = [entry for entry in load_manifest() if (package_folder() / entry.file).is_file()]
    assert {entry.name for entry in packaged} <= set(known), "python -m provisioning.selftest.known_answers"


def test_no_tpm_is_said(bench: Bench, tmp_path: Path) -> None:
    bench.enrol()
    found = product.key_strength(bench.box, tmp_path / "no-tpm")
    assert (found.result, found.advisory) == (Result.FAIL, True)
    assert "no TPM" in found.text
    (tmp_path / "tpm").write_text("")
    assert "has a TPM" in product.key_strength(bench.box, tmp_path / "tpm").advice
    replace = msgspec.structs.replace
    hardware = change_config(bench.box, lambda c: replace(c, notary=replace(c.notary, keystore="tpm")))
    assert product.key_strength(hardware).result is Result.PASS


def test_the_key_is_tried(bench: Bench) -> None:
    bench.init()
    assert product.key_health(bench.box).result is Result.NOT_PERFORMED
    bench.enrol()
    assert product.key_health(bench.box).result is Result.PASS
    (bench.state / "keys" / "production" / "key.pem").unlink()
    assert product.key_health(bench.box).result is Result.FAIL


def test_services_that_do_not_run(bench: Bench) -> None:
    bench.init()
    replace = msgspec.structs.replace
    box = change_config(bench.box, lambda c: replace(c, gateway=replace(c.gateway, port=1)))
    assert product.services(box).result is Result.NOT_PERFORMED
    asked = bench.run("health", "--json")
    assert (asked.exit_code, json.loads(asked.stdout)["well"]) == (1, False)


def test_time_of_a_verification() -> None:
    limits = load_limits()
    assert product.verification_time(limits, lambda _: 3.0).result is Result.PASS
    slow = product.verification_time(limits, lambda _: 1e4)
    assert (slow.result, slow.advisory) == (Result.FAIL, True)

    def broken(_folder: Path) -> float:
        raise ModelError("no such model")

    found = product.verification_time(limits, broken)
    assert (found.result, found.blocks) == (Result.FAIL, True)


def test_a_box_without_the_demos_pictures_times_a_frame(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What every box is: the locks of requirements/ have nothing of the extra `demo`."""

    def none_such(_name: str) -> None:
        raise ConfigurationError("pip install vouchbox[demo]")

    monkeypatch.setattr("device.vision.camera.emulation.resources.load_picture", none_such)
    limits = load_limits()
    generous, strict = (
        msgspec.structs.replace(limits, verification=msgspec.structs.replace(limits.verification, frame=seconds))
        for seconds in (3600.0, 0.0)
    )
    found = product.verification_time(generous)
    assert (found.result, found.figures["frame"] > 0) == (Result.PASS, True)
    slow = product.verification_time(strict)
    assert (slow.result, slow.advisory) == (Result.FAIL, True)
    assert product.frame_time(limits, only(tmp_path)).result is Result.NOT_PERFORMED


# --- The report ------------------------------------------------------------------------------------------------------


def test_the_page_is_one_file_without_script() -> None:
    curve = finding("camera.rate", True, "15 <frames>/s", series={"milliseconds": [60, 70, 65]})
    page = render_page(
        make_report("box-<1>", "v4l2:0", "0", [curve, finding("memory.swap", False, "on", "swapoff & co")])
    )
    xml.dom.minidom.parseString(
        page.removeprefix("<!doctype html>").replace('<meta charset="utf-8">', "").replace("<br>", "")
    )
    assert page.count("<svg") == 1
    assert "box-&lt;1&gt;" in page
    assert "swapoff &amp; co" in page
    assert "Not ready to be sealed: one thing has" in page
    assert page.index("memory.swap") < page.index("camera.rate"), "what to put right comes first"
    weaker = render_page(make_report("b", "c", "0", [finding("key.strength", False, "file", "a TPM", advisory=True)]))
    assert "Ready to be sealed" in weaker
    assert ">weaker<" in weaker
    for outside in ("<script", "http:", "https:", "<img", "url("):
        assert outside not in page


def test_a_report_that_cannot_be_read(bench: Bench) -> None:
    bench.enrol()
    bench.tested()
    (bench.state / "provisioning" / "selftest.json").write_text("{")
    result = bench.run("seal", "--use", "research", "--yes")
    assert "selftest` again" in str(result.exception)
    assert load_report(bench.folder) is None


def test_a_camera_is_recorded_once(bench: Bench) -> None:
    bench.enrol()
    present = make_report("box-1", CAMERA, "0", [finding("camera.present", True, "60 frames")])
    box = record_camera(bench.box, present, again=False)
    assert box.config.vision.camera_id.startswith("v4l2")
    replace = msgspec.structs.replace
    change_config(box, lambda c: replace(c, vision=replace(c.vision, camera_id="another")))
    assert record_camera(bench.box, present, again=False).config.vision.camera_id == "another"
    assert record_camera(bench.box, present, again=True).config.vision.camera_id.startswith("v4l2")


def test_the_whole_command_quickly(bench: Bench) -> None:
    bench.enrol()
    page = bench.folder / "report.html"
    result = bench.run("selftest", "--quick", "--json", "--report", page)
    said = json.loads(result.stdout)
    found = {one["name"]: one["result"] for one in said["findings"]}
    assert result.exit_code == 1  # there is no camera here
    assert found["camera.present"] == "fail"
    assert found["camera.focus"] == found["verification.time"] == "not_performed"
    assert found["key.certificate"] == "pass"
    assert {name for name in found if name.startswith("models.")} == {f"models.{e.name}" for e in load_manifest()}
    assert "camera.present" in page.read_text()
    report = load_report(bench.box.notes)
    assert report is not None
    assert not report.well
    target = bench.folder / "target.svg"
    assert bench.run("selftest", "--print-target", target).exit_code == 0
    assert target.read_text().startswith("<svg")
