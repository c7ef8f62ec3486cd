"""PassportEye as a program of its own, for `vouchbox bench`: it runs in the peer's environment (`make peers`).

In: names of images, one a line, on stdin; as arguments, further options for Tesseract. Out: one JSON object a line on
stdout, `{"file", "lines", "valid", "cpu_ms"}`; `valid` is whether it says that all check digits hold, the time is this
process's and that of the Tesseract that it starts. Nothing of Vouchbox is imported here.
"""

from __future__ import annotations

import json
import resource
import sys

from passporteye import read_mrz  # type: ignore[import-not-found]
from passporteye.mrz.text import MRZOCRCleaner  # type: ignore[import-not-found]


def cpu_seconds() -> float:
    """CPU time so far, of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Reads every image that stdin names."""
    options = " ".join(sys.argv[1:])
    for name in map(str.rstrip, sys.stdin):
        began = cpu_seconds()
        try:
            zone = read_mrz(name, extra_cmdline_params=options)
        except Exception as error:  # noqa: BLE001 - whatever it stumbles over, it has not read the image
            print(f"{name}: {error!r}", file=sys.stderr)
            zone = None
        lines = MRZOCRCleaner.apply(zone.aux["raw_text"]) if zone is not None else []
        said = {"file": name, "lines": lines, "valid": bool(zone is not None and zone.valid)}
        print(json.dumps({**said, "cpu_ms": round((cpu_seconds() - began) * 1000, 1)}), flush=True)


if __name__ == "__main__":
    main()
