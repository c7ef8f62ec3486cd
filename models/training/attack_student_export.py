"""Turns a distilled second opinion into an int8 model, and says how far it follows its teacher.

In: a checkpoint of `attack_distil`, the faces and shards that it learned from (for calibration), and its teacher. Out:
the .tflite with its size and SHA-256, milliseconds of CPU for one picture, and the correlation of its log-odds with the
teacher's, in float32 and in int8, on devel frames and on rendered people kept back.

    python -m models.training.attack_student_export v2 R/v2-rounded.pt --cache DIR... --held DIR --faces F --output F
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from models.training.attack_data import load_samples
from models.training.attack_distil import PHASES, TEACHERS
from models.training.attack_network import INPUT
from models.training.attack_student import AttackStudent
from models.training.attack_teacher import FILES, Teacher, for_teacher, log_odds
from models.training.attack_views import Views, devel_views, held_views
from models.training.export import Runner, export
from models.training.face_rounding import equalise
from models.training.face_statistics import measured


def nhwc(images: Tensor) -> list[np.ndarray]:
    """(N, 3, height, width) as single inputs of the exported network."""
    return [image.permute(1, 2, 0).contiguous().numpy()[None] for image in images]


def within(odds: Tensor) -> Tensor:
    """As the box takes them."""
    return odds.clamp(-8, 8)


def agreement(student: AttackStudent, runner: Runner, teacher: Teacher, images: Tensor) -> tuple[float, float, float]:
    """Correlation of the float32 and of the int8 student with the teacher; milliseconds of CPU for one picture."""
    with torch.no_grad():
        wanted = torch.cat([log_odds(teacher(for_teacher(part))) for part in images.split(32)])
        plain = torch.cat([log_odds(student(part)) for part in images.split(32)])
    began = time.process_time()
    logits = [runner(image)[0].reshape(1, -1) for image in nhwc(images)]
    cost = 1000 * (time.process_time() - began) / len(images)
    rounded = log_odds(torch.from_numpy(np.concatenate(logits)))
    table = torch.corrcoef(torch.stack([within(wanted), within(plain), within(rounded)]))
    return float(table[0, 1]), float(table[0, 2]), cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=FILES)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--cache", type=Path, required=True, nargs="+")
    parser.add_argument("--held", type=Path, required=True)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--teachers", type=Path, default=TEACHERS)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--calibration", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    samples, half = load_samples(options.faces), list(FILES).index(options.network)
    views = Views(samples, options.cache, seed=1)

    def mine(crops: Tensor) -> Tensor:
        return crops[:, :, half * INPUT : (half + 1) * INPUT].contiguous(memory_format=torch.channels_last)

    student = AttackStudent(options.network)
    print(f"checkpoint of step {student.restore(options.checkpoint)['step']}")
    if not student.folded:
        if options.checkpoint.stem.endswith(PHASES[0]):  # its parts have never met each other
            measured(student, (mine(views(32)) for _ in range(16)))
        student.fold()
        equalise(student.eval(), mine(views(128)))
    student.eval()
    digest = export(student, (INPUT, INPUT, 3), nhwc(mine(views(options.calibration))), options.output)
    print(f"{options.output}: {options.output.stat().st_size} bytes, SHA-256 {digest}")
    teacher, runner = Teacher(options.teachers / FILES[options.network]).eval(), Runner(options.output)
    for name, images in (("devel", devel_views(samples)), ("rendered people", held_views(options.held))):
        plain, rounded, cost = agreement(student, runner, teacher, mine(images))
        print(f"{name}: r {plain:.4f} in float32, {rounded:.4f} in int8; {cost:.2f} ms CPU", flush=True)


if __name__ == "__main__":
    main()
