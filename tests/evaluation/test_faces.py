"""Cross pairs against the plain double loop, and data sets that are not what they should be."""

from pathlib import Path

import numpy as np
import pytest

from device.errors import InputError
from device.evaluation import faces
from device.evaluation.face_data import correct_labels, load_face_set


def make_set(folder: Path, people: int = 3, each: int = 2) -> Path:
    for person in range(people):
        (folder / "images" / f"p{person}").mkdir(parents=True)
        for number in range(each):
            (folder / "images" / f"p{person}" / f"{number}.png").write_bytes(b"")
    return folder


def some_embeddings(count: int, missing: tuple[int, ...] = ()) -> np.ndarray:
    found = np.random.default_rng(5).normal(size=(count, 16)).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    found[list(missing)] = 0
    return found


@pytest.mark.parametrize("block", [1, 7, 64])
def test_cross_pairs_are_those_of_the_double_loop(block: int) -> None:
    embeddings, persons = some_embeddings(40, missing=(3,)), np.arange(40) // 3
    genuine, impostors = [], []
    for i in range(40):
        for j in range(i + 1, 40):
            score = -1.0 if 3 in (i, j) else float(embeddings[i] @ embeddings[j])
            (genuine if persons[i] == persons[j] else impostors).append(score)
    cross = faces.cross_pairs(embeddings, persons, block)
    assert sorted(cross.genuine.tolist()) == pytest.approx(sorted(genuine), abs=1e-6)
    assert cross.impostors.total == len(impostors)
    assert cross.impostors.rate_at(0.2) == pytest.approx(np.mean(np.array(impostors) >= 0.2), abs=2e-3)


@pytest.mark.parametrize("block", [1, 7, 64])
def test_the_worst_pairs_are_those_of_the_double_loop(tmp_path: Path, block: int) -> None:
    dataset = load_face_set(make_set(tmp_path, people=13, each=3))
    embeddings = some_embeddings(39, missing=(3,))
    genuine, impostors = [], []
    for i in range(39):
        for j in range(i + 1, 39):
            score = -1.0 if 3 in (i, j) else float(embeddings[i] @ embeddings[j])
            pairs = genuine if i // 3 == j // 3 else impostors
            pairs.append((score, dataset.files[i], dataset.files[j]))
    worst = faces.worst_pairs(dataset, faces.cross_pairs(embeddings, dataset.persons, block, alike=5), 5)
    for found, wanted in (
        (worst["genuine"], sorted(genuine)[:5]),
        (worst["impostor"], sorted(impostors, reverse=True)[:5]),
    ):
        assert [pair.score for pair in found] == pytest.approx([score for score, *_ in wanted], abs=1e-4)
        assert [{pair.first, pair.second} for pair in found] == [set(files) for _, *files in wanted]


def test_nothing_is_kept_of_impostors_if_nobody_asks() -> None:
    cross = faces.cross_pairs(some_embeddings(30), np.arange(30) // 3)
    assert len(cross.alike) == len(cross.alike_of) == 0


def test_a_corrected_label_makes_genuine_pairs_and_ends_others(tmp_path: Path) -> None:
    folder = make_set(tmp_path, people=3, each=2)
    errata = tmp_path / "errata.csv"
    errata.write_text("file,person\np0/1.png,p1\np2/0.png,\n")
    dataset = correct_labels(load_face_set(folder), errata)
    same = dataset.persons[:, None] == dataset.persons[None, :]
    expected = {("p0/1.png", "p1/0.png"), ("p0/1.png", "p1/1.png"), ("p1/0.png", "p1/1.png")}
    assert {(dataset.files[i], dataset.files[j]) for i, j in np.argwhere(np.triu(same, 1))} == expected
    figures = faces.figures(dataset, some_embeddings(6), "any")
    assert figures.labels_corrected == 2
    assert figures.genuine_pairs == len(expected)


@pytest.mark.parametrize(
    "content",
    ["file\np0/0.png\n", "file,person\nnobody.png,p1\n", "file,person\np0/0.png,nobody\n"],
    ids=["column_missing", "unknown_image", "unknown_person"],
)
def test_a_wrong_list_of_errata_is_refused(tmp_path: Path, content: str) -> None:
    dataset = load_face_set(make_set(tmp_path))
    errata = tmp_path / "errata.csv"
    errata.write_text(content)
    with pytest.raises(InputError, match="errata"):
        correct_labels(dataset, errata)


def test_a_set_that_knows_nobody_has_no_labels_to_correct(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(3):
        (tmp_path / "images" / f"{number}.png").write_bytes(b"")
    errata = tmp_path / "errata.csv"
    errata.write_text("file,person\n0.png,\n")
    with pytest.raises(InputError, match="does not say who is who"):
        correct_labels(load_face_set(tmp_path), errata)


def test_without_identities_every_pair_is_an_impostor_pair() -> None:
    cross = faces.cross_pairs(some_embeddings(30), np.empty(0, dtype=np.int64))
    assert cross.impostors.total == 30 * 29 // 2
    assert not len(cross.genuine)


def test_a_face_that_was_not_found_never_matches() -> None:
    embeddings = np.zeros((2, 4), dtype=np.float32)
    embeddings[0, 0] = 1
    assert faces.similarity(embeddings, embeddings)[0, 1] == -1
    assert faces.similarity(embeddings, embeddings)[1, 1] == -1


def test_figures_of_faces_that_separate(tmp_path: Path) -> None:
    folder = make_set(tmp_path, people=100, each=3)
    rows = ["fold,first,second,same"]
    rows += [f"{p % 10},p{p}/0.png,p{p}/1.png,1" for p in range(100)]
    rows += [f"{p % 10},p{p}/0.png,p{(p + 1) % 100}/1.png,0" for p in range(100)]
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")
    dataset = load_face_set(folder)
    directions = np.eye(100, dtype=np.float32)[dataset.persons]
    found = faces.figures(dataset, directions, "perfect", manifest={"1e-2": 0.5})
    assert found.at_manifest == {"1e-2": {"fmr": 0.0, "fnmr": 0.0}}
    assert found.accuracy == 1.0
    assert found.tar_at_far == {"1e-2": 1.0}, "100 listed impostors say nothing about 1e-3"
    assert found.fnmr_at_fmr == {"1e-3": 0.0, "1e-4": 0.0}, "45000 pairs say nothing about 1e-5"
    assert found.genuine_pairs == 300
    assert found.impostor_pairs == 300 * 299 // 2 - 300
    assert set(found.as_json()) >= {"embedder", "images", "pairs", "accuracy", "tar_at_far", "fnmr_at_fmr"}


def test_groups_have_their_own_false_match_rate(tmp_path: Path) -> None:
    folder = make_set(tmp_path, people=110, each=1)
    kinds = ["alike"] * 50 + ["varied"] * 50 + ["few"] * 10
    rows = ["file,group", *(f"p{person}/0.png,{kind}" for person, kind in enumerate(kinds))]
    (folder / "groups.csv").write_text("\n".join(rows) + "\n")
    dataset = load_face_set(folder)
    embeddings = some_embeddings(110)
    alike = dataset.groups["alike"]
    embeddings[alike] = embeddings[0]
    rates = faces.group_fmr(dataset.groups, embeddings, {"1e-3": 0.95, "1e-4": 0.97}, dataset.persons)
    assert rates == {"alike": {"1e-3": 1.0}, "varied": {"1e-3": 0.0}}, "45 pairs say nothing about 1e-3, 1225 of 1e-4"


def test_one_person_alone_says_nothing_about_confusion(tmp_path: Path) -> None:
    dataset = load_face_set(make_set(tmp_path, people=1, each=3))
    with pytest.raises(InputError, match="of one person"):
        faces.figures(dataset, some_embeddings(3), "any")


def test_a_picture_outside_all_folders_of_people_is_refused(tmp_path: Path) -> None:
    folder = make_set(tmp_path)
    (folder / "images" / "contact_sheet.png").write_bytes(b"")
    with pytest.raises(InputError, match="contact_sheet"):
        load_face_set(folder)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("fold,first,second\n0,p0/0.png,p1/0.png\n", "first line"),
        ("fold,first,second,same\n0,p0/0.png,nobody.png,1\n", "line 2"),
        ("fold,first,second,same\n0,p0/0.png,p1/0.png,maybe\n", "line 2"),
        ("fold,first,second,same\n0,p0/0.png\n", "line 2"),
    ],
    ids=["column_missing", "unknown_image", "same_not_0_or_1", "row_too_short"],
)
def test_a_wrong_list_of_pairs_is_refused(tmp_path: Path, content: str, says: str) -> None:
    folder = make_set(tmp_path)
    (folder / "pairs.csv").write_text(content)
    with pytest.raises(InputError, match=says):
        load_face_set(folder)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="images/"):
        load_face_set(tmp_path)


@pytest.mark.parametrize(("rate", "text"), [(1e-4, "1e-4"), (0.01, "1e-2"), (0.0005, "5e-4")])
def test_rates_are_spelt_as_in_manifests(rate: float, text: str) -> None:
    assert faces.spelt(rate) == text
