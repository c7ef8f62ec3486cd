"""Writes the `manifest.csv` that `vouchbox evaluate attacks` reads for a folder of Replay-Attack frames.

In: the data set's folder of clips (one folder a clip, frames as JPEG). Out: a folder with `manifest.csv` and a link to
the frames, at a place outside the project, since nothing of the data set may be given on.

    python -m models.training.replay_manifest /data/replay_attack/devel /data/devel-manifest
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from models.training.attack_data import replay_files


def write_manifest(frames: Path, folder: Path) -> int:
    """Writes `folder`/manifest.csv and links `folder`/frames to `frames`; returns how many rows."""
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "frames"
    if not link.exists():
        link.symlink_to(frames.resolve(), target_is_directory=True)
    rows = 0
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["file", "label", "species", "subject", "group"])
        for path, label, species, subject, group in replay_files(frames):
            support = path.parent.name.split("__")[2]
            full = species if label == "bona_fide" else f"{species}_{support}"
            writer.writerow([f"frames/{path.relative_to(frames)}", label, full, subject, group])
            rows += 1
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    print(f"{write_manifest(arguments.frames, arguments.folder)} rows in {arguments.folder / 'manifest.csv'}")


if __name__ == "__main__":
    main()
