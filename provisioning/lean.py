"""Takes out of a box's new environment what no process of ours ever loads; less to carry, and less to be attacked with.

In: an environment whose wheels were installed with their hashes checked. Out: the same without the files named here.
Run by the environment's own Python, last: `python -m provisioning.lean`.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Final

UNUSED: Final = {
    "numpy/**/tests": "its test suites",
    "numpy/f2py": "a compiler for Fortran",
    "pygments/lexers/[!_]*.py": "colours for program text, which no command shows",
    "pygments/lexers/__pycache__/[!_]*.pyc": "see pygments",
    "ai_edge_litert/libLiteRt*Accelerator.so": "inference on a GPU, which vision may not open",
    "ai_edge_litert/tools": "compilers of models",
    "ai_edge_litert/aot": "compilers of models",
    "ai_edge_litert/vendors": "drivers of accelerators that no supported board has",
    "pip": "nothing is added to a locked environment; a new version gets a new one",
    "pip-*.dist-info": "see pip",
}
"""By the pattern of their paths below site-packages, with the reason."""


def trim(site: Path, programs: Path) -> int:
    """Removes what `UNUSED` names from `site`, and pip from `programs`. Returns the bytes that this frees."""
    freed = 0
    for pattern in UNUSED:
        for path in sorted(site.glob(pattern)):
            freed += _remove(path)
    for path in programs.glob("pip*"):
        freed += _remove(path)
    return freed


def _remove(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        size = path.lstat().st_size
        path.unlink()
        return size
    size = sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())
    shutil.rmtree(path)
    return size


def main() -> int:
    """Works on the environment that runs it; a Python that is nobody's environment is left alone."""
    if sys.prefix == sys.base_prefix:
        print("vouchbox: this is not a virtual environment", file=sys.stderr)
        return 2
    freed = trim(Path(sysconfig.get_path("platlib")), Path(sysconfig.get_path("scripts")))
    print(f"vouchbox: {freed / 1e6:.0f} MB that a box never loads were left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
