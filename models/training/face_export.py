"""Turns a checkpoint of the face embedder into the int8 file that boxes run, and says what int8 costs.

In: `whole.pt` (or `blocks.pt`) of a run, and the face cache for calibration images and the comparison. Out: the .tflite
(int8 weights and activations, its embeddings whitened by a part), with --manifest its hash put there, and printed: the
cosine between the teacher and the student, and between the whitened student in float and in int8, on faces that were
never trained on.

    python -m models.training.face_export R/whole.pt --cache C --out models/face-embedder.tflite
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import re
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from models.training.export import Runner, convert, export
from models.training.face_augment import worn
from models.training.face_data import Faces
from models.training.face_net import Student, for_teacher, scaled
from models.training.face_statistics import recalibrate
from models.training.face_teacher import SIZE, QuickTeacher, Teacher
from models.training.face_whitening import POWER, whiten

NAME = "face-embedder"
MANIFEST = Path("models/manifest.toml")


def load(path: Path, faces: Faces) -> Student:
    """The averaged weights of a checkpoint, batch norms calibrated in the chain and folded."""
    student = Student()
    state = student.restore(path)
    print(f"checkpoint of step {state['step']}, {state['views']} views")
    return (student if state["folded"] else recalibrate(student, faces)).eval()


def calibration_inputs(faces: Faces, count: int) -> list[np.ndarray]:
    """(1, 128, 128, 3) float32 inputs, half of them worn, so that the ranges hold for portraits as well."""
    random = np.random.default_rng(1)
    index = random.choice(faces.training, count, replace=False)
    crops = faces.typical(index, random.random(count) < 0.5, random)
    crops = [worn(crop, random) if number % 2 else crop for number, crop in enumerate(crops)]
    return [(crop.astype(np.float32) / np.float32(127.5) - 1)[None] for crop in crops]


def agreement(
    student: Student, whitened: Student, path: Path, teacher: QuickTeacher, crops: np.ndarray
) -> dict[str, float]:
    """Mean cosines: teacher with float student, and the whitened student in float with itself in int8."""
    runner = Runner(path)
    cosines = []
    for crop in crops:
        pixels = torch.from_numpy(crop[None])
        wanted = teacher.features(for_teacher(pixels))["embedding"]
        with torch.no_grad():
            found, plain = student(scaled(pixels)), whitened(scaled(pixels))
        quantised = torch.from_numpy(runner((crop.astype(np.float32) / np.float32(127.5) - 1)[None])[0])
        pairs = ((wanted, found), (plain, quantised))
        cosines.append([float(functional.cosine_similarity(a, b.reshape(1, -1))) for a, b in pairs])
    names = ("teacher with float", "float with int8, whitened")
    return dict(zip(names, np.mean(cosines, axis=0).tolist(), strict=True))


def write_compact(checkpoint: Path, student: Student, path: Path) -> None:
    """The folded weights of `student` at half precision: what a later run needs to go on (`--start`)."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    weights = {name: value.half() for name, value in student.state_dict().items()}
    torch.save({"student": weights, "mean": {}, "folded": True, "step": state["step"], "views": state["views"]}, path)


def write_plain_bundle(student: Student, manifest: Path, folder: Path) -> None:
    """A model bundle with the student in float32, so that `vouchbox evaluate faces` can say what int8 costs:
    `VOUCHBOX_MODELS=FOLDER vouchbox evaluate faces ... --embedder face-embedder-float`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{NAME}-float.tflite"
    convert(copy.deepcopy(student).settle(), (SIZE, SIZE, 3), path)
    blocks = manifest.read_text(encoding="utf-8").split("[[model]]")
    entry = next(block for block in blocks if f'name = "{NAME}"' in block)
    changes = {
        "name": f'"{NAME}-float"',
        "file": f'"{path.name}"',
        "sha256": f'"{hashlib.sha256(path.read_bytes()).hexdigest()}"',
        "default": "false",
        "source": '{ kind = "package" }',
    }
    for key, value in changes.items():
        entry = re.sub(rf"^{key} = .*$", f"{key} = {value}", entry, count=1, flags=re.MULTILINE)
    entry = re.sub(r"^card = .*\n", "", entry, flags=re.MULTILINE)
    (folder / "manifest.toml").write_text(f"[[model]]{entry}", encoding="utf-8")


def put_hash(manifest: Path, digest: str) -> None:
    """Writes the new file's SHA-256 into its manifest entry."""
    text = manifest.read_text(encoding="utf-8")
    pattern = rf'(^name = "{NAME}"$.*?^sha256 = ")[0-9a-f]{{64}}(")'
    changed, count = re.subn(pattern, rf"\g<1>{digest}\g<2>", text, count=1, flags=re.MULTILINE | re.DOTALL)
    if count != 1:
        raise SystemExit(f"{manifest} does not describe {NAME}: sha256 is {digest}")
    manifest.write_text(changed, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, help="manifest to put the hash into")
    parser.add_argument("--calibration", type=int, default=160)
    parser.add_argument("--whitened", type=float, default=POWER, help="power of the whitening; 0 for none")
    parser.add_argument("--compact", type=Path, help="also write the weights at half precision, to go on from")
    parser.add_argument("--plain", type=Path, metavar="FOLDER", help="also write a bundle of the float32 network here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    faces = Faces(arguments.cache, seed=0)
    student = load(arguments.checkpoint, faces)
    inputs = calibration_inputs(faces, arguments.calibration)
    whitened = whiten(copy.deepcopy(student), faces, arguments.whitened)
    digest = export(copy.deepcopy(whitened).settle(), (SIZE, SIZE, 3), inputs, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes, SHA-256 {digest}")
    index = faces.validation[:128]
    crops = faces.clean(index, np.zeros(len(index), dtype=bool))
    teacher = QuickTeacher(Teacher(), arguments.cache)
    for name, value in agreement(student, whitened, arguments.out, teacher, crops).items():
        print(f"cosine {name}: {value:.4f}")
    if arguments.compact:
        write_compact(arguments.checkpoint, student, arguments.compact)
    if arguments.plain:
        write_plain_bundle(whitened, arguments.manifest or MANIFEST, arguments.plain)
    if arguments.manifest:
        put_hash(arguments.manifest, digest)


if __name__ == "__main__":
    main()
