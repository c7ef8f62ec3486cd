"""What a box never loads goes, and all else stays; only from a virtual environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from provisioning.lean import UNUSED, trim

KEPT = (
    *("numpy/testing/__init__.py", "numpy/core/x.so", "ai_edge_litert/libLiteRt.so", "pipeline/a.py", "cv2/cv2.so"),
    *(
        "pygments/lexers/__init__.py",
        "pygments/lexers/_mapping.py",
        "pygments/lexers/__pycache__/_mapping.cpython-313.pyc",
    ),
)
GONE = (
    "pygments/lexers/fortran.py",
    "pygments/lexers/__pycache__/fortran.cpython-313.pyc",
    "numpy/f2py/crackfortran.py",
    "numpy/core/tests/test_x.py",
    "numpy/tests/__init__.py",
    "ai_edge_litert/libLiteRtWebGpuAccelerator.so",
    "ai_edge_litert/tools/apply_plugin_main",
    "pip/__init__.py",
    "pip-25.0.dist-info/RECORD",
)


def test_what_no_process_loads_goes(tmp_path: Path) -> None:
    site, programs = tmp_path / "site", tmp_path / "bin"
    for name in (*KEPT, *GONE):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(b"0123456789")
    programs.mkdir()
    for name in ("pip", "pip3", "python", "vouchbox"):
        (programs / name).write_bytes(b"01234")
    assert trim(site, programs) == 10 * len(GONE) + 2 * 5
    assert sorted(path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()) == sorted(KEPT)
    assert sorted(path.name for path in programs.iterdir()) == ["python", "vouchbox"]
    assert trim(site, programs) == 0


def test_each_has_its_reason_and_stays_below_site_packages() -> None:
    for pattern, reason in UNUSED.items():
        assert reason
        assert not pattern.startswith("/")
        assert ".." not in pattern


def test_a_system_python_is_left_alone(tmp_path: Path) -> None:
    command = [sys._base_executable, "-m", "provisioning.lean"]
    root = Path(__file__).resolve().parents[2]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (2, "vouchbox: this is not a virtual environment\n")
