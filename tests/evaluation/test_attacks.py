"""Rates of presentation attack detection, the data set's manifest, the report, and the two commands."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from device.errors import InputError, ModelError
from device.evaluation.attack_data import Presentation, read_presentations
from device.evaluation.attack_metrics import (
    Rate,
    area_under_roc,
    bootstrap_eer,
    det_points,
    equal_error_rate,
    operating_point,
    threshold_at_bpcer,
)
from device.evaluation.attacks import Scored, as_json, figures

HEADER = "file,label,species,subject,group\n"
score_lists = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40).map(
    lambda found: np.array(found, np.float64)
)


def presentation(path: Path, species: str = "", subject: str = "a") -> Presentation:
    return Presentation(path, bool(species), species, subject, "test")


# --- rates ---


def test_separated_scores_have_no_error():
    bona_fide, attacks = np.array([0.1, 0.2, 0.3]), np.array([0.7, 0.8])
    assert equal_error_rate(bona_fide, attacks) == 0
    assert area_under_roc(bona_fide, attacks) == 1
    assert operating_point(bona_fide, {"print": attacks}, 0.5).apcer["print"].wrong == 0


def test_swapped_scores_are_all_wrong():
    assert equal_error_rate(np.array([0.9, 0.8]), np.array([0.1, 0.2])) == pytest.approx(1)
    assert area_under_roc(np.array([0.9]), np.array([0.1])) == 0


def test_equal_error_rate_of_a_known_case():
    bona_fide = np.array([0.0, 0.1, 0.2, 0.6])
    attacks = np.array([0.15, 0.7, 0.8, 0.9])
    assert equal_error_rate(bona_fide, attacks) == pytest.approx(0.25)
    assert area_under_roc(bona_fide, attacks) == pytest.approx(14 / 16)


@given(score_lists, score_lists)
def test_det_is_monotone_and_auc_agrees_with_all_pairs(bona_fide, attacks):
    apcer, bpcer = det_points(bona_fide, attacks)
    assert (np.diff(apcer) >= 0).all()
    assert (np.diff(bpcer) <= 0).all()
    assert (apcer[0], bpcer[0], apcer[-1], bpcer[-1]) == (0, 1, 1, 0)
    pairs = (attacks[:, None] > bona_fide[None, :]) + 0.5 * (attacks[:, None] == bona_fide[None, :])
    assert area_under_roc(bona_fide, attacks) == pytest.approx(pairs.mean())
    assert 0 <= equal_error_rate(bona_fide, attacks) <= 1


@given(score_lists, st.sampled_from([0.0, 0.01, 0.05, 0.15, 0.5]))
def test_threshold_keeps_bpcer_and_no_lower_one_does(bona_fide, bpcer):
    threshold = threshold_at_bpcer(bona_fide, bpcer)
    assert operating_point(bona_fide, {}, threshold).bpcer.value <= bpcer + 1e-9
    lower = bona_fide[bona_fide < threshold]
    if len(lower):
        assert operating_point(bona_fide, {}, lower.max()).bpcer.value > bpcer


@pytest.mark.parametrize(
    ("wrong", "total", "low", "high"),
    [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (1, 20, 0.00127, 0.2487), (5, 100, 0.0164, 0.1128)],
)
def test_clopper_pearson_against_published_values(wrong, total, low, high):
    assert Rate(wrong, total).interval == pytest.approx((low, high), abs=5e-4)


def test_the_worst_species_is_named():
    point = operating_point(np.array([0.1]), {"a": np.array([0.9]), "b": np.array([0.2, 0.9])}, 0.5)
    assert point.worst == "b"
    assert point.apcer["b"].value == 0.5


def test_bootstrap_over_people_is_wider_than_nothing_and_contains_the_estimate():
    rng = np.random.default_rng(0)
    bona_fide, attacks = rng.normal(0.3, 0.1, 60), rng.normal(0.5, 0.1, 60)
    people = ([f"p{i // 6}" for i in range(60)], [f"p{i // 6}" for i in range(60)])
    low, high = bootstrap_eer(bona_fide, attacks, people)
    assert low < equal_error_rate(bona_fide, attacks) < high


# --- the data set ---


def test_reads_a_manifest(tmp_path):
    (tmp_path / "manifest.csv").write_text(HEADER + "a.jpg,bona_fide,,p1,g\nb.jpg,attack,print,p1,g\n")
    first, second = read_presentations(tmp_path)
    assert (first.attack, second.attack, second.species, second.path) == (False, True, "print", tmp_path / "b.jpg")


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "file,label\na.jpg,attack\n",
        HEADER + "a.jpg,live,,p,g\n",
        HEADER + "a.jpg,bona_fide,,p,g\n",
        HEADER + "a.jpg,bona_fide,,p,g\nb.jpg,attack,,p,g\n",
        HEADER + ",bona_fide,,p,g\nb.jpg,attack,print,p,g\n",
    ],
    ids=["no_file", "empty", "missing_columns", "unknown_label", "one_label_only", "attack_without_species", "no_name"],
)
def test_a_broken_manifest_names_itself(tmp_path, text):
    if text is not None:
        (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.csv"):
        read_presentations(tmp_path)


# --- figures and report ---


def scored(tmp_path):
    import cv2

    picture = tmp_path / "face.png"
    cv2.imwrite(str(picture), np.full((40, 40, 3), 120, np.uint8))
    people = [Scored(presentation(picture, subject=f"p{n % 4}"), 0.02 * n) for n in range(20)]
    prints = [Scored(presentation(picture, "print", f"p{n % 4}"), 0.5 + 0.02 * n) for n in range(20)]
    screens = [Scored(presentation(picture, "screen<b>", f"p{n % 4}"), 0.2 + 0.03 * n) for n in range(20)]
    return [*people, *prints, *screens, Scored(presentation(picture, "print"), None)]


def test_json_has_the_agreed_keys(tmp_path):
    answer = as_json([figures("ours", scored(tmp_path), 0.4), figures("peer", scored(tmp_path), 0.5)])
    assert answer["total"] == 61
    assert {"eer", "auc", "apcer_at_bpcer", "threshold"} <= set(answer)
    assert set(answer["apcer_at_bpcer"]) == {"0.01", "0.05", "0.10", "0.15"}
    point = answer["apcer_at_bpcer"]["0.05"]
    assert point["worst"] == max(point["species"].values()) == point["species"]["screen<b>"]
    assert answer["not_scored"] == {"bona_fide": 0, "attack": 1}
    assert answer["peer"]["detector"] == "peer"
    assert json.loads(json.dumps(answer)) == answer


def test_report_marks_the_worst_species_and_escapes(tmp_path):
    from device.evaluation.attack_report import report

    page = report([figures("ours", scored(tmp_path), 0.4)], "A <set>")
    assert "<b>b" not in page
    assert "screen&lt;b&gt;" in page
    assert "A &lt;set&gt;" in page
    assert page.count("<polyline") == 2
    rows = page.split("<tr>")
    screen = next(row for row in rows if row.startswith("<td>screen"))
    assert "<b>" in screen
    assert "data:image/jpeg;base64," in page


def test_nobody_scored_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no face"):
        figures(
            "ours",
            [Scored(presentation(tmp_path / "x"), None), Scored(presentation(tmp_path / "y", "print"), 0.4)],
            0.5,
        )


# --- commands ---


def test_commands_refuse_bad_input_in_one_line(tmp_path):
    from device.commands.attacks import attack_score, evaluate_attacks

    result = CliRunner().invoke(evaluate_attacks, [str(tmp_path), "--json"])
    assert isinstance(result.exception, InputError)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 not really")
    result = CliRunner().invoke(attack_score, [str(broken), "--json"])
    assert isinstance(result.exception, InputError)
    assert "broken.jpg" in str(result.exception)


def test_peer_crop_stays_inside_the_image():
    from device.evaluation.minifasnet import crop_enlarged

    image = np.arange(120 * 160 * 3, dtype=np.uint32).astype(np.uint8).reshape(120, 160, 3)
    for box in [
        (10.0, 10.0, 60.0, 70.0),
        (-20.0, -5.0, 40.0, 80.0),
        (100.0, 60.0, 170.0, 130.0),
        (0.0, 0.0, 160.0, 120.0),
    ]:
        assert crop_enlarged(image, box, 2.7).shape == (80, 80, 3)


def test_peer_names_the_missing_file(tmp_path):
    from device.evaluation.minifasnet import MiniFasNet

    with pytest.raises(ModelError, match="MiniFASNetV2"):
        MiniFasNet(tmp_path)


def test_replay_attack_folders_name_their_species():
    from models.training.attack_data import replay_species

    real = "train__real__real__client001_session01_webcam_authenticate_adverse_1"
    paper = "devel__attack__hand__attack_print_client003_session01_highdef_photo_adverse"
    tablet = "test__attack__fixed__attack_highdef_client009_session01_highdef_video_controlled"
    assert replay_species(real) == ("train", "bona_fide", "", "client001")
    assert replay_species(paper) == ("devel", "attack", "print", "client003")
    assert replay_species(tablet) == ("test", "attack", "highdef_video", "client009")
    with pytest.raises(ValueError, match="not the name"):
        replay_species("holiday_pictures")
