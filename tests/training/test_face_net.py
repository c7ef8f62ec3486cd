"""The face embedder's network and its training. Run where torch is: `make test-training`."""

import csv

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra [training]): make test-training")

from torch.nn import functional  # noqa: E402

from models.training import faces  # noqa: E402
from models.training.face_data import CANVAS, Faces, validates  # noqa: E402
from models.training.face_export import put_hash, write_compact  # noqa: E402
from models.training.face_net import Convolution, Student, scaled  # noqa: E402
from models.training.face_rounding import equalise, rounded_weights  # noqa: E402
from models.training.face_statistics import measured, unfold  # noqa: E402
from models.training.face_teacher import TEACHER  # noqa: E402
from models.training.face_whitening import whitening  # noqa: E402

COUNT = 120
"""Faces in the made-up cache."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Smooth noise in place of faces."""
    folder = tmp_path_factory.mktemp("cache")
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (COUNT, 9, 9, 3), dtype=np.uint8)
    canvases = np.stack([np.kron(c, np.ones((CANVAS // 9, CANVAS // 9, 1), dtype=np.uint8)) for c in coarse])
    np.save(folder / "canvases.npy", canvases)
    inside = np.ones((CANVAS, CANVAS), dtype=np.uint8)
    inside[:40] = 0
    np.save(folder / "inside.npy", np.tile(np.packbits(inside), (COUNT, 1)))
    named = [f"made-up/{n}" for n in range(100 * COUNT)]
    kept = [name for name in named if validates(name)][:8] + [name for name in named if not validates(name)]
    (folder / "names.txt").write_text("\n".join(kept[:COUNT]))
    return folder


@pytest.fixture
def images():
    pixels = np.random.default_rng(1).integers(0, 256, (6, 128, 128, 3), dtype=np.uint8)
    return scaled(torch.from_numpy(pixels))


@pytest.fixture
def student(images):
    """Random weights, and batch norms that know their inputs."""
    torch.manual_seed(3)
    return measured(Student(), [images]).eval()


@torch.no_grad()
def embedded(network, images):
    return network(images)


def test_the_student_is_as_large_as_its_card_says(student):
    assert 1.1e6 < sum(p.numel() for p in student.parameters()) < 1.3e6


def test_folding_batch_norms_away_changes_nothing(student, images):
    before = embedded(student, images)
    assert not student.folded
    assert student.fold().folded
    torch.testing.assert_close(embedded(student, images), before, rtol=1e-3, atol=1e-4)


def test_settled_slopes_change_nothing(student, images):
    before = embedded(student, images)
    torch.testing.assert_close(embedded(student.settle(), images), before, rtol=1e-3, atol=1e-4)


def test_batch_norms_put_back_change_nothing(student, images, cache):
    before = embedded(student.fold(), images)
    back = unfold(student, Faces(cache, 0)).eval()
    assert not back.folded
    torch.testing.assert_close(embedded(back, images), before, rtol=1e-3, atol=1e-4)


def test_equalised_channels_compute_what_they_did_and_reach_alike(student, images):
    before = embedded(student.fold(), images)
    layer = student.parts[1].body[0]

    def reach():
        seen = []
        hook = layer.register_forward_hook(lambda _m, _i, output: seen.append(output.abs().amax((0, 2, 3))))
        embedded(student, images)
        hook.remove()
        return seen[0]

    uneven = float(reach().max() / reach().median())
    equalise(student, images)
    torch.testing.assert_close(embedded(student, images), before, rtol=1e-3, atol=1e-4)
    assert float(reach().max() / reach().median()) < min(1.1, uneven)


def test_rounded_weights_have_255_values_and_are_whole_again_afterwards(student):
    layer = student.fold().parts[2].body[0].conv
    before = layer.weight.detach().clone()
    with rounded_weights(student):
        channel = layer.weight[0].detach().flatten()
        step = channel.abs().max() / 127
        torch.testing.assert_close(channel / step, torch.round(channel / step), rtol=0, atol=1e-3)
        assert not torch.equal(layer.weight, before)
    assert torch.equal(layer.weight, before)


def test_whitening_is_in_the_last_layer(student, images):
    matrix = whitening(functional.normalize(torch.randn(600, 256, generator=torch.Generator().manual_seed(0))), 0.25)
    before = embedded(student, images)
    student.whiten(matrix)
    torch.testing.assert_close(embedded(student, images), before @ matrix.T, rtol=1e-3, atol=1e-3)


def test_whitening_evens_the_directions():
    spread = torch.linspace(0.2, 3.0, 32)
    rows = functional.normalize(torch.randn(5000, 32, generator=torch.Generator().manual_seed(0)) * spread)
    variances = torch.linalg.eigvalsh(torch.cov((rows @ whitening(rows, 0.25)).T))
    before = torch.linalg.eigvalsh(torch.cov(rows.T))
    assert variances.max() / variances.min() < 0.3 * before.max() / before.min()


def test_a_leaky_rectifier_learns_its_slope(images):
    layer = Convolution(3, 4, slope=-0.75)
    wanted = functional.leaky_relu(layer.norm(layer.conv(images)), float(layer.slope))
    torch.testing.assert_close(layer(images), wanted)
    layer(images).square().sum().backward()
    assert layer.slope.grad.abs() > 0


def test_a_compact_checkpoint_is_restored(student, tmp_path):
    torch.save({"student": {}, "mean": {}, "folded": True, "step": 7, "views": 140}, tmp_path / "run.pt")
    write_compact(tmp_path / "run.pt", student.fold(), tmp_path / "compact.pt")
    again = Student()
    state = again.restore(tmp_path / "compact.pt")
    assert (again.folded, state["step"], state["views"]) == (True, 7, 140)
    for name, value in student.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_the_hash_goes_to_the_embedder_alone(tmp_path):
    manifest = tmp_path / "manifest.toml"
    other = f'[[model]]\nname = "other"\nsha256 = "{"a" * 64}"\n'
    manifest.write_text(f'{other}\n[[model]]\nname = "face-embedder"\nfile = "x"\nsha256 = "{"b" * 64}"\n')
    put_hash(manifest, "c" * 64)
    assert manifest.read_text() == f'{other}\n[[model]]\nname = "face-embedder"\nfile = "x"\nsha256 = "{"c" * 64}"\n'
    manifest.write_text(other)
    with pytest.raises(SystemExit, match="face-embedder"):
        put_hash(manifest, "c" * 64)


# --- the training itself, a few steps of it -------------------------------------------------------------------------


def train(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["faces", *map(str, arguments)])
    faces.main()


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_training_goes_from_phase_to_phase_and_on_from_its_checkpoint(shared, cache, tmp_path, monkeypatch):
    assert TEACHER.is_file(), shared
    common = ("--cache", cache, "--run", tmp_path, "--minutes", 0.02, "--batch", 4, "--subset", 40)
    for phase in ("blocks", "whole", "whole", "rounded"):
        train(monkeypatch, phase, *common)
    with (tmp_path / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == faces.CURVE
    assert [row["phase"] for row in rows] == ["blocks", "whole", "whole", "rounded"]
    steps, views = ([int(row[key]) for row in rows] for key in ("step", "views"))
    assert steps == sorted(set(steps)), "each phase goes on from the one before"
    assert views == [4 * step for step in steps]
    assert rows[0]["cosine"] == "", "blocks are not judged by the whole"
    assert -1 <= float(rows[-1]["cosine"]) <= 1
    assert torch.load(tmp_path / "rounded.pt", weights_only=True)["folded"]


@pytest.mark.shared
@pytest.mark.parametrize(
    "arguments", [["rounded"], ["whole", "--start", "typo.pt"]], ids=["nothing_to_round", "start_misspelt"]
)
def test_without_its_checkpoint_nothing_is_trained(shared, cache, tmp_path, monkeypatch, arguments):
    assert TEACHER.is_file(), shared
    with pytest.raises(SystemExit, match="is not there"):
        train(monkeypatch, *arguments, "--cache", cache, "--run", tmp_path, "--minutes", 0.02)
