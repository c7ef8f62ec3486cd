"""Small model bundles for tests: a folder with a manifest and one of the tiny models."""

import hashlib
import shutil
from pathlib import Path

DATA = Path(__file__).parent / "data"


def describe(name="tiny", file="tiny_float.tflite", **changes):
    """A [[model]] table as TOML; `changes` replace lines by key, None removes one."""
    lines = {
        "name": f'"{name}"',
        "task": '"face_embedding"',
        "file": f'"{file}"',
        "sha256": f'"{sha256(file)}"',
        "licence": '"Apache-2.0"',
        "licence_use": '"any"',
        "training_data": '"none: fixed weights"',
        "input": "{ width = 4, height = 4 }",
        "outputs": "[[1, 4, 4, 2]]",
    } | changes
    return "[[model]]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items() if value is not None)


def sha256(file):
    path = DATA / file
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "0" * 64


def make_bundle(folder: Path, text: str, *files: str):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.toml").write_text(text)
    for file in files:
        shutil.copy(DATA / file, folder)
    return folder
