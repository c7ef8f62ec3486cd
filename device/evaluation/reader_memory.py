"""What the document reader adds to a Python interpreter's memory, for `vouchbox bench`: a process of its own.

In: image files as arguments. Out: one JSON object on stdout, in MB (2^20 bytes) of resident memory over that of the
interpreter alone: `settled` after the images were read, `peak` at most. Linux only, as the box is.
"""

from __future__ import annotations

import json
import sys

from device.evaluation.memory import resident


def main() -> None:
    """Measures before and after everything is imported here."""
    alone = resident()
    from device.vision.document.reader import DocumentReader
    from device.vision.inference.manifest import load_manifest
    from device.vision.stills import load_still

    reader = DocumentReader(load_manifest())
    for name in sys.argv[1:]:
        reader.read(load_still(name))
    print(json.dumps({"settled": round(resident() - alone, 1), "peak": round(resident("VmHWM") - alone, 1)}))


if __name__ == "__main__":
    main()
