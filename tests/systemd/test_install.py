"""What an installation takes: locks for every kind of box, each wheel by its hash, and nothing forgotten."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import device

REPOSITORY = Path(__file__).resolve().parents[2]
LOCKS = sorted((REPOSITORY / "requirements").glob("box-py*.lock"))


def wanted() -> set[str]:
    """The names in setup.py's install_requires."""
    tree = ast.parse((REPOSITORY / "setup.py").read_text())
    listed = next(
        word.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for word in node.keywords
        if word.arg == "install_requires"
    )
    return {re.match(r"[\w.-]+", text)[0].lower() for text in ast.literal_eval(listed)}


def locked(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def test_there_is_a_lock_for_each_kind_of_box():
    kinds = {path.stem for path in LOCKS}
    assert kinds == {
        f"box-py{python}-{board}" for python in ("3.11", "3.12", "3.13") for board in ("aarch64", "x86_64")
    }


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_requirement_of_every_lock_has_its_hash(path):
    for line in locked(path):
        assert re.fullmatch(r"[a-z0-9._-]+==[^ ;]+ --hash=sha256:[0-9a-f]{64}", line), line


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_a_lock_has_all_that_the_product_needs(path):
    names = {re.sub(r"[._]", "-", line.split("==")[0]) for line in locked(path)}
    assert wanted() <= names


def test_a_bill_of_materials_has_the_product_and_every_model_by_its_hash(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "requirements"))
    import bill

    manifest = tomllib.loads((REPOSITORY / "models/manifest.toml").read_text())["model"]
    told = {part["name"]: part["hashes"][0]["content"] for part in bill.models()}
    assert told == {entry["name"]: entry["sha256"] for entry in manifest}
    assert (bill.product()["name"], bill.product()["version"]) == ("vouchbox", device.__version__)


def test_the_installer_is_sound_shell_and_explains_itself():
    script = REPOSITORY / "provisioning/install.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    said = subprocess.run([str(script), "--help"], capture_output=True, text=True, check=True).stdout
    for word in ("--camera", "--listen", "--wheels", "uninstall", "--wipe"):
        assert word in said


def test_the_installer_says_what_it_does_not_know():
    ended = subprocess.run(
        [str(REPOSITORY / "provisioning/install.sh"), "--frobnicate"], capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
