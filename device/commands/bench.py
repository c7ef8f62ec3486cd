"""`vouchbox bench`: CPU time of each step, multiply-adds beside it, and the memory of a running box, on this machine.

In: nothing; the pictures are the emulated camera's. Out: a table, or one JSON object. Times are medians of CPU time
in one thread and depend on the machine and on what else it does; the multiply-adds do not.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import cv2
from rich.console import Console
from rich.table import Table

from device.commands.bench_reader import PEER, ReaderFigures, compare, fitted
from device.commands.bench_reader import memory as reader_memory
from device.config import VisionConfig
from device.evaluation.memory import children, proportional
from device.protocol import Guidance, Progress, Stage
from device.vision.camera.base import Image, open_camera
from device.vision.face.landmarks import Pose
from device.vision.face.view import FaceView
from device.vision.inference.macs import multiply_adds
from device.vision.inference.manifest import Manifest, load_manifest
from device.vision.instruments import Instruments, load_instruments
from device.vision.liveness.parallax import Parallax

SETTLE_FRAMES = 20
"""Frames until the emulated person has done what they were asked."""


@dataclass(frozen=True)
class StepTime:
    """Median CPU milliseconds of one step, and how often it was timed."""

    step: str
    cpu_ms: float
    rounds: int


@click.command()
@click.option("--rounds", default=15, show_default=True, help="How often each step is timed.")
@click.option("--no-memory", is_flag=True, help="Do not start the three processes to measure their memory.")
@click.option(
    "--documents", type=click.Path(path_type=Path), help="Folder with truth.json: the reader beside its peer."
)
@click.option("--peer", type=click.Path(path_type=Path), default=PEER, help="Python of the peer's environment.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def bench(rounds: int, no_memory: bool, documents: Path | None, peer: Path, as_json: bool) -> None:
    """Time and memory of each step and of a whole box on this machine."""
    manifest = load_manifest()
    console = Console(stderr=True, quiet=as_json)
    with console.status("loading models and rendering pictures"):
        instruments = load_instruments(manifest, 1)
        document, selfie = pictures()
    with console.status("timing"):
        steps = time_steps(instruments, document, selfie, rounds)
    models = model_costs(manifest)
    memory: dict[str, float] = {}
    if not no_memory:
        with console.status("starting the three processes"):
            memory = box_memory()
    with console.status("reading documents"), tempfile.TemporaryDirectory(prefix="vouchbox-") as work:
        readers = compare(documents, Path(work), peer) if documents is not None else []
        used = reader_memory(_images(Path(work), document))
    if as_json:
        report = {"steps": [asdict(step) for step in steps], "models": models, "pss_mb": memory}
        report |= {"reader_memory_mb": used, "readers": [asdict(each) for each in readers]}
        click.echo(json.dumps(report))
    else:
        _show(steps, models, memory)
        _show_readers(readers, used)


def pictures() -> tuple[Image, Image]:
    """A frame with the demo's passport and one with its holder's face, 1280x720 RGB."""
    with open_camera(VisionConfig(camera="emulated:standard", pace="fast")) as camera:

        def settle(stage: Stage, guidance: Guidance) -> Image:
            camera.prompt(Progress(stage, guidance, 10))
            frames = [camera.read(1.0) for _ in range(SETTLE_FRAMES)]
            last = next(frame for frame in reversed(frames) if frame is not None)
            return last.image

        return settle(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT), settle(Stage.SELFIE, Guidance.LOOK_STRAIGHT)


def _images(work: Path, document: Image) -> list[Path]:
    """The images that the readers were compared on, or the emulated document's."""
    images = sorted(work.glob("*.png"))
    if not images:
        images = [work / "document.png"]
        cv2.imwrite(str(images[0]), fitted(document)[:, :, ::-1])
    return images


def time_steps(instruments: Instruments, document: Image, selfie: Image, rounds: int) -> list[StepTime]:
    """Each step on its own, then one selfie frame through all of its steps."""
    view = instruments.faces.look(selfie).main
    if view is None:
        raise click.ClickException("no face was found in the emulated selfie: `vouchbox models verify`")
    embedder, detectors, eyes = instruments.embedder(""), list(instruments.detectors.values()), instruments.eyes
    steps: list[tuple[str, Callable[[], object]]] = [
        ("read a document frame (1280x720)", lambda: instruments.reader.read(document)),
        ("find face, landmarks, quality", lambda: instruments.faces.look(selfie)),
    ]
    if embedder is not None:
        steps.append(("embed the face", lambda: embedder.embed_frame(selfie, view.landmarks, 0)))
    if detectors:
        steps.append(
            (f"passive attack detection, {detectors[0].name}", partial(detectors[0].score, selfie, view.landmarks))
        )

    selfie_steps = [step for _, step in steps[1:]]

    def whole() -> None:
        for step in selfie_steps:
            step()

    steps.append(("one selfie frame through everything", whole))
    steps.extend(
        (f"passive attack detection, {other.name}", partial(other.score, selfie, view.landmarks))
        for other in detectors[1:]
    )
    if eyes is not None:
        steps.append(("read both eyes, in a challenge", lambda: eyes.openness(selfie, view.landmarks)))
    steps.append(("judge depth, once a challenge", _as_turned(selfie, view).report))
    return [StepTime(name, _median_ms(step, rounds), rounds) for name, step in steps]


def _as_turned(selfie: Image, view: FaceView) -> Parallax:
    """A challenge's worth of frames, all of them the same picture: what following its points costs."""
    parallax = Parallax()
    for yaw in range(24):
        parallax.add(selfie, view.landmarks, Pose(float(yaw), 0.0, 0.0))
    return parallax


def _median_ms(step: Callable[[], object], rounds: int) -> float:
    step()
    times = []
    for _ in range(rounds):
        began = time.process_time()
        step()
        times.append((time.process_time() - began) * 1000)
    return round(statistics.median(times), 2)


def model_costs(manifest: Manifest) -> list[dict[str, Any]]:
    """Multiply-adds (millions) and bytes of every model that is here."""
    costs = []
    for entry in manifest:
        path = manifest.find(entry)
        if path is not None:
            costs.append(
                {"model": entry.name, "mmacs": round(multiply_adds(path) / 1e6, 2), "bytes": path.stat().st_size}
            )
    return costs


def box_memory() -> dict[str, float]:
    """Proportional set size in MB of a box at rest: vision's service and its warm worker, the notary, the gateway."""
    from device.commands.demo import demo_config
    from device.launch import Services

    with tempfile.TemporaryDirectory(prefix="vouchbox-") as name, (Path(name) / "log").open("wb") as log:
        config, _ = demo_config(Path(name), VisionConfig(camera="emulated:standard"))
        with Services(config, log) as services:
            services.wait_ready()
            found = {part: proportional(services.process(part).pid) for part in ("notary", "gateway")}
            service = services.process("vision").pid
            worker = sum(map(proportional, children(service)))
            found |= {"vision service": proportional(service), "vision worker": worker}
    found["all"] = sum(found.values())
    return {part: round(size, 1) for part, size in found.items()}


def _show(steps: list[StepTime], models: list[dict[str, Any]], memory: dict[str, float]) -> None:
    console = Console()
    times = Table("step", "CPU ms, one thread (median)", box=None)
    for step in steps:
        times.add_row(step.step, f"{step.cpu_ms:.1f}")
    costs = Table("model", "million multiply-adds", "kB", box=None)
    for model in models:
        costs.add_row(model["model"], f"{model['mmacs']:.1f}", f"{model['bytes'] / 1000:.0f}")
    console.print(times)
    console.print()
    console.print(costs)
    if memory:
        sizes = Table("process at rest", "PSS MB", box=None)
        for part, size in memory.items():
            sizes.add_row(part, f"{size:.1f}")
        console.print()
        console.print(sizes)


def _show_readers(readers: list[ReaderFigures], used: dict[str, float]) -> None:
    console = Console()
    console.print(
        f"\nmemory of the document reader over the interpreter's own: {used['settled']:.0f} MB, "
        f"at most {used['peak']:.0f} MB"
    )
    if not readers:
        return
    table = Table("document reader", "images", "exact", "wrong but valid", "CPU ms (median)", "of ours", box=None)
    for each in readers:
        ratio = f"{each.cpu_ms_median / readers[0].cpu_ms_median:.1f}×"
        columns = (each.images, each.exact, each.wrong_but_valid, f"{each.cpu_ms_median:.0f}", ratio)
        table.add_row(each.reader, *map(str, columns))
    console.print()
    console.print(table)
    if len(readers) == 1:
        console.print("PassportEye is not installed: `make peers`")
