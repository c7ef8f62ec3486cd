"""Turns a trained attack detector, or a committee of them, into an int8 model and tells what the manifest says of it.

In: `--run` folders with a `checkpoint.pt` each, the faces of `attack_data` (for calibration and the threshold). Out:
the model, and on the console its size and SHA-256, the float and the int8 network's equal error rate on devel, and the
threshold set there for the fused score (`--bpcer` of single bona fide frames above it).

`--shifted` measures the same frames through one more simulated camera as well: what is left on another camera.

    python -m models.training.attack_export --run DIR... --cache DIR --faces faces.jsonl --output models/NAME.tflite
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from device.vision.liveness.crops import stacked_crops
from models.training.attack_cache import GROUPS, SIZE, TIGHT, WIDE
from models.training.attack_data import Sample, load_samples
from models.training.attack_network import INPUT, AttackNetwork, Committee
from models.training.attack_scene import camera
from models.training.attacks import attack_scores, equal_error, frames
from models.training.finish import finished


def load(runs: list[Path]) -> nn.Module:
    """The averaged weights of each run, as a committee if there are several."""
    members = [load_one(run) for run in runs]
    return Committee(members).eval() if len(members) > 1 else members[0]


def load_one(run: Path) -> nn.Module:
    """The averaged weights of a run."""
    state = torch.load(run / "checkpoint.pt", map_location="cpu")
    network = AttackNetwork()
    network.load_state_dict(state["network"])
    print(f"{run.name}: checkpoint of step {state['step']}")
    return network.eval()


def calibration(caches: list[Path], count: int, without_replay: bool) -> npt.NDArray[np.float32]:
    """(count, 2 INPUT, INPUT, 3) float32 in 0..1 of training crops."""
    found: list[npt.NDArray[np.uint8]] = []
    cut = (SIZE - INPUT) // 2
    paths = [path for cache in caches for path in sorted(cache.glob("[0-9]*.x.npy"))]
    for path in paths:
        crops = np.load(path, mmap_mode="r")
        labels = np.load(path.with_name(path.name.replace(".x.", ".y.")))
        usable = labels[:, 1] <= GROUPS.index("utkface_attack") if without_replay else labels[:, 1] >= 0
        part = crops[np.flatnonzero(usable)[: count // len(paths) + 1]]
        halves = [part[:, h * SIZE + cut : h * SIZE + cut + INPUT, cut : cut + INPUT] for h in range(2)]
        found.append(np.concatenate(halves, axis=1))
    return np.concatenate(found)[:count].astype(np.float32) / 255.0


def through_another_camera(samples: list[Sample]) -> torch.Tensor:
    """Network inputs of real frames that one more simulated camera has seen (`attack_scene.camera`, strength 0.5)."""
    rng = np.random.default_rng(5)
    inputs = []
    for sample in samples:
        image = cv2.cvtColor(cv2.imread(sample.file), cv2.COLOR_BGR2RGB).astype(np.float32) / 255.0
        pair = stacked_crops(camera(rng, image, 0.5), sample.square, INPUT, TIGHT, WIDE)
        inputs.append(torch.from_numpy(pair.astype(np.float32).transpose(2, 0, 1)[None] / 255.0))
    return torch.cat(inputs)


def export(network: nn.Module, output: Path, samples: npt.NDArray[np.float32]) -> None:
    """Writes the int8 model: weights and activations int8, static ranges from `samples`."""
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    wrapped = litert_torch.to_channel_last_io(network, args=[0])
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "float.tflite"
        litert_torch.convert(wrapped, (torch.zeros(1, 2 * INPUT, INPUT, 3),)).export(str(plain))
        signatures = Interpreter(model_path=str(plain)).get_signature_list()
        key = next(iter(signatures))
        name = signatures[key]["inputs"][0]
        quantise = quantizer.Quantizer(str(plain))
        quantise.load_quantization_recipe(recipe.static_wi8_ai8())
        statistics = quantise.calibrate({key: [{name: sample[None]} for sample in samples]})
        output.unlink(missing_ok=True)
        quantise.quantize(statistics).export_model(str(output))
    output.write_bytes(finished(output.read_bytes()))


def int8_scores(path: Path, inputs: torch.Tensor) -> tuple[npt.NDArray[np.float64], float]:
    """Scores of N x 3 x 2S x S inputs, and milliseconds of CPU for one."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    print(f"input {source['shape']} {source['dtype'].__name__}, output {target['shape']} {target['dtype'].__name__}")
    found = []
    began = time.process_time()
    for image in inputs.permute(0, 2, 3, 1).numpy():
        values = image[None]
        if source["dtype"] is not np.float32:
            scale, zero = source["quantization"]
            values = np.clip(np.rint(values / scale) + zero, -128, 127).astype(source["dtype"])
        interpreter.set_tensor(source["index"], values)
        interpreter.invoke()
        logits = interpreter.get_tensor(target["index"])[0].astype(np.float64)
        if target["dtype"] is not np.float32:
            logits = (logits - target["quantization"][1]) * target["quantization"][0]
        odds = np.exp(logits - logits.max())
        found.append(1 - odds[0] / odds.sum())
    return np.array(found), 1000 * (time.process_time() - began) / len(inputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, nargs="+")
    parser.add_argument("--cache", type=Path, nargs="+", required=True)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--calibration", type=int, default=300)
    parser.add_argument("--bpcer", type=float, default=0.05)
    parser.add_argument("--shifted", action="store_true")
    parser.add_argument("--without-replay", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = load(arguments.run)
    export(network, arguments.output, calibration(arguments.cache, arguments.calibration, arguments.without_replay))
    data = arguments.output.read_bytes()
    print(f"{arguments.output}: {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")
    samples = [sample for sample in load_samples(arguments.faces) if sample.group == "replay/devel"]
    devel = list(frames(samples))
    inputs = torch.cat([tensor for _, tensor in devel])
    attacks = np.array([sample.label == "attack" for sample, _ in devel])
    scores, cost = int8_scores(arguments.output, inputs)
    plain = attack_scores(network, inputs)
    print(f"devel, single frames: float EER {equal_error(plain, attacks):.4f}, int8 {equal_error(scores, attacks):.4f}")
    print(f"{cost:.2f} ms CPU a frame, one thread")
    if arguments.shifted:
        shifted, _ = int8_scores(arguments.output, through_another_camera(samples))
        above = (shifted[attacks][:, None] > shifted[~attacks]).mean()
        print(f"the same frames through another camera: int8 EER {equal_error(shifted, attacks):.4f}, AUC {above:.4f}")
    people = np.sort(scores[~attacks])
    threshold = float(people[min(len(people) - 1, int(np.ceil(len(people) * (1 - arguments.bpcer))) - 1)])
    print(f"threshold {threshold:.4f}: devel BPCER {np.mean(scores[~attacks] > threshold):.4f}, ", end="")
    print(f"APCER {np.mean(scores[attacks] <= threshold):.4f} over all species")


if __name__ == "__main__":
    main()
