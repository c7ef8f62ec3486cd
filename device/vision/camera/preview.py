"""For developers: what an emulated camera shows, as a folder of frames or as one contact sheet.

    python -m device.vision.camera.preview standard --out sheet.png
    python -m device.vision.camera.preview my_scenario.toml --out frames/

In: a scenario. Out: pictures of each stage and movement, as the person reacts to what the kiosk page would say.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import cv2
import numpy as np

from device.config import VisionConfig
from device.errors import VouchboxError
from device.protocol import Guidance, Progress, Stage
from device.vision.camera.base import Camera, Image, open_camera

COURSE: Final = (
    (Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, 2.6),
    (Stage.DOCUMENT_BACK, Guidance.SHOW_DOCUMENT_BACK, 2.2),
    (Stage.HOLDING, Guidance.HOLD_DOCUMENT_BESIDE_FACE, 2.4),
    (Stage.SELFIE, Guidance.LOOK_STRAIGHT, 2.2),
    *(
        (Stage.SELFIE, guidance, seconds)
        for movement in (
            Guidance.TURN_LEFT,
            Guidance.TURN_RIGHT,
            Guidance.LOOK_UP,
            Guidance.LOOK_DOWN,
            Guidance.BLINK,
            Guidance.OPEN_MOUTH,
            Guidance.COME_CLOSER,
        )
        for guidance, seconds in (
            (movement, 1.0 if movement is Guidance.BLINK else 1.9),
            (Guidance.BACK_TO_CENTRE, 1.6),
        )
    ),
)
"""What is announced, in order, and for how many seconds."""


@dataclass(frozen=True, eq=False)
class Shot:
    """The last frame before something else is announced."""

    name: str
    image: Image


def shoot(camera: Camera, fps: int) -> list[Shot]:
    """Plays `COURSE` to an opened camera that is not real-time; ends early if the camera does."""
    shots = []
    for number, (stage, guidance, seconds) in enumerate(COURSE):
        camera.prompt(Progress(stage, guidance, 30))
        last = None
        try:
            for _ in range(round(seconds * fps)):
                last = camera.read(0.1) or last
        except VouchboxError as error:
            click.echo(f"{stage}/{guidance}: {error}", err=True)
            break
        if last is not None and guidance is not Guidance.BACK_TO_CENTRE:
            shots.append(Shot(f"{number:02d}-{stage}-{guidance}", last.image))
    return shots


def contact_sheet(shots: list[Shot], columns: int = 3, width: int = 640) -> Image:
    """The shots side by side, each with its name."""
    cells = []
    for shot in shots:
        height = round(width * shot.image.shape[0] / shot.image.shape[1])
        cell = np.asarray(cv2.resize(shot.image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        cell[-28:] //= 3
        cv2.putText(cell, shot.name, (8, height - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA)
        cells.append(cell)
    cells += [np.zeros_like(cells[0])] * (-len(cells) % columns)
    rows = [np.concatenate(cells[start : start + columns], axis=1) for start in range(0, len(cells), columns)]
    return np.asarray(np.concatenate(rows), np.uint8)


@click.command()
@click.argument("scenario")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="A .png for a contact sheet, else a folder."
)
@click.option("--fps", default=15, show_default=True)
def main(scenario: str, out: Path, fps: int) -> None:
    """Writes what SCENARIO (a built-in name, with #SEED if wanted, or a .toml) looks like."""
    config = VisionConfig(camera=f"emulated:{scenario}", fps=fps, pace="fast")
    try:
        with open_camera(config) as camera:
            begun = time.process_time()
            shots = shoot(camera, fps)
            spent = time.process_time() - begun
    except VouchboxError as error:
        click.echo(f"preview: {error}", err=True)
        sys.exit(error.exit_code)
    frames = round(sum(seconds for _, _, seconds in COURSE) * fps)
    click.echo(f"{len(shots)} shots, {1000 * spent / frames:.1f} CPU ms a frame of {config.width} x {config.height}")
    if out.suffix == ".png":
        _write(out, contact_sheet(shots))
        return
    out.mkdir(parents=True, exist_ok=True)
    for shot in shots:
        _write(out / f"{shot.name}.png", shot.image)


def _write(path: Path, image: Image) -> None:
    encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    path.write_bytes(encoded.tobytes())


if __name__ == "__main__":
    main()
