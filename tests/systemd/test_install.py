"""What an installation takes: locks for every kind of box, each wheel by its hash, and nothing forgotten."""

import ast
import os
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


# --- Into a folder, with programs in place of the target's that note what they were told ------------------------------

CHROOT = """#!/bin/sh
root=$1; shift
[ "$1" != env ] || { shift; case $1 in *=*) echo "env $1" >>"$TYPED"; source=${1#*=}; shift ;; esac; }
program=$1; shift
echo "${program##*/} $*" >>"$TYPED"
case "${program##*/} $*" in
  "python3 -c"*) echo 3.13 ;;
  uname*) echo x86_64 ;;
  "systemctl --version") echo "systemd 257 (257)" ;;
  id*) echo 990 ;;
  "python3 -m venv"*) mkdir -p "$root$4/bin" ;;
  "vouchbox models"*) [ -z "$source" ] || ls "$root$source" >>"$TYPED"; [ ! -e "$FAIL" ] || exit 1 ;;
esac
"""


class Target:
    """A root folder to install into, and a stick."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root, self.stick, self.programs = folder / "root", folder / "stick", folder / "bin"
        for path in (self.root / "opt", self.root / "etc/vouchbox", self.stick, self.programs):
            path.mkdir(parents=True)
        self.wheel = folder / "vouchbox-1.0-py3-none-any.whl"
        self.wheel.write_bytes(b"wheel")
        for name, text in (("chroot", CHROOT), ("id", "#!/bin/sh\necho 0\n")):
            (self.programs / name).write_text(text)
            (self.programs / name).chmod(0o755)

    def run(self, *arguments: str, expected: int = 0) -> list[str]:
        """What was run in the target."""
        typed = self.folder / "typed"
        typed.write_text("")
        path = f"{self.programs}:{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "TYPED": str(typed), "FAIL": str(self.folder / "fail")}
        command = [str(REPOSITORY / "provisioning/install.sh"), *arguments, "--root", str(self.root)]
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, umask=0o077)
        assert ended.returncode == expected, ended.stderr
        return typed.read_text().splitlines()

    def install(self, *options: str, expected: int = 0) -> list[str]:
        return self.run("--no-packages", "--wheel", str(self.wheel), *options, expected=expected)

    def vouchbox(self) -> list[str]:
        """Everything of ours among the units."""
        system = self.root / "etc/systemd/system"
        return sorted(str(path.relative_to(system)) for path in system.rglob("*vouchbox*"))


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path)


def place(lines: list[str], begin: str) -> int:
    return next(number for number, line in enumerate(lines) if line.startswith(begin))


def test_models_are_fetched_while_the_environment_has_pip(target: Target) -> None:
    first = target.install()
    packages, models, lean = (
        place(first, begin) for begin in ("python -m pip", "vouchbox models install", "python -m provisioning.lean")
    )
    assert packages < models < lean
    again = target.install()
    assert not [line for line in again if line.startswith(("python -m pip", "python3 -m venv"))]
    pip, models, lean = (
        place(again, begin)
        for begin in ("python -m ensurepip", "vouchbox models install", "python -m provisioning.lean")
    )
    assert pip < models < lean


def test_an_installation_without_its_models_is_not_complete(target: Target) -> None:
    (target.folder / "fail").touch()
    target.install(expected=1)
    assert not (target.root / "opt/vouchbox/current").is_symlink()
    assert [path.name for path in (target.root / "opt").iterdir()] == ["vouchbox"], "nothing staged is left"
    (target.folder / "fail").unlink()
    assert [line for line in target.install() if line.startswith("python -m pip")]
    assert (target.root / "opt/vouchbox/current").is_symlink()


def test_the_second_stick_counts_and_not_the_first(target: Target) -> None:
    (target.stick / "bad.tflite").touch()
    (target.folder / "fail").touch()
    target.install("--models", str(target.stick), expected=1)
    (target.folder / "fail").unlink()
    (target.stick / "bad.tflite").rename(target.stick / "good.tflite")
    told = target.install("--models", str(target.stick))
    begin = place(told, "env VOUCHBOX_MODEL_MIRROR=")
    assert told[begin + 1].startswith("vouchbox models install")
    assert told[begin + 2] == "good.tflite"
    assert "bad.tflite" not in told
    assert not list(target.root.rglob("*.tflite"))


def test_the_services_can_read_what_root_installs(target: Target) -> None:
    """Root's own mask was 077."""
    target.install()
    paths = ["etc/vouchbox/config.toml", "var/lib/vouchbox/models", "opt/vouchbox/releases"]
    for path in [*map(target.root.joinpath, paths), *target.root.glob("opt/vouchbox/releases/*/bin")]:
        assert path.stat().st_mode & 0o044 == 0o044, path


def test_a_box_renews_itself_and_all_of_it_goes(target: Target) -> None:
    told = target.install()
    units = {path.name for path in (REPOSITORY / "systemd").glob("vouchbox*")}
    assert units <= set(target.vouchbox())
    enabled = next(line for line in told if line.startswith("systemctl enable"))
    assert "vouchbox-renew.timer" in enabled
    assert "vouchbox-renew.service.d" not in target.vouchbox(), "it is not started again and again"
    assert "vouchbox-notary.service.d" in target.vouchbox()
    target.run("uninstall")
    assert target.vouchbox() == []


def test_two_builds_of_one_source_are_one_version() -> None:
    script = (REPOSITORY / "provisioning/install.sh").read_text()
    function = script[script.index("source_time() {") :].split("\n}\n")[0] + "\n}\n"
    lines = f"here={REPOSITORY}\n{function}source_time; git() {{ return 1; }}; source_time"
    told = subprocess.run(["bash", "-euc", lines], capture_output=True, text=True, check=True).stdout.split()
    assert len(told) == 2
    assert all(re.fullmatch("1[0-9]{9}", seconds) for seconds in told)
