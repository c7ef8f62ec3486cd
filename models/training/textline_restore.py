"""Makes a checkpoint of the published `text-line.tflite`, so that training can go on without the one it was made from.

In: the int8 file. Out: `checkpoint.pt` in `--run`, of step 0, and on the console the accuracy of the file and of the
restored network. int8 has rounded the weights and folded the batch norms into them; both are undone as far as it goes:
the weights are multiplied out, and each batch norm gets the statistics that its layer has on rendered crops, and the
gain and offset that leave the layer's output as it was.

    python -m models.training.textline_restore --run models/training/runs/more
    python -m models.training.textline --run models/training/runs/more --steps 3000 --rate 1e-3
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from models.training.textline import TextLine, averaged, optimiser_of, save, to_input
from models.training.textline_export import compare
from models.training.textline_render import LineRenderer

CROPS = 256  # from which the batch norms' statistics are taken


def folded_layers(path: Path) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(weights O×I×H×W, biases O) of the file's convolutions, in the order in which they are computed."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter: Any = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}

    def values(index: int) -> np.ndarray:
        scale = details[index]["quantization_parameters"]
        shape = [1] * details[index]["shape"].size
        shape[scale["quantized_dimension"]] = -1
        return interpreter.get_tensor(index).astype(np.float32) * scale["scales"].reshape(shape)

    layers = []
    for step in interpreter._get_ops_details():
        if step["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            _, weights, bias = (int(index) for index in step["inputs"])
            order = (0, 3, 1, 2) if step["op_name"] == "CONV_2D" else (3, 0, 1, 2)  # one channel in: depthwise
            kernel = np.ascontiguousarray(values(weights).transpose(order))
            layers.append((torch.from_numpy(kernel), torch.from_numpy(values(bias))))
    return layers


def restored(path: Path, renderer: LineRenderer) -> TextLine:
    """The network that answers as the file does, ready to be trained."""
    network = TextLine().eval()
    pairs = _blocks(network)
    layers = folded_layers(path)
    body, heads = layers[: len(pairs)], layers[len(pairs) :]
    # The file's order of the heads is the converter's; how many outputs each has tells them apart.
    by_outputs = {len(bias): (kernel, bias) for kernel, bias in heads}
    network.head.weight.data = torch.cat([by_outputs[count][0] for count in (37, 1, 3)])
    network.head.bias.data = torch.cat([by_outputs[count][1] for count in (37, 1, 3)])
    for (convolution, norm), (kernel, bias) in zip(pairs, body, strict=True):
        convolution.weight.data = kernel
        norm.weight.data.fill_(float(np.sqrt(1 + norm.eps)))
        norm.bias.data = bias.clone()
    _give_statistics(network, [norm for _, norm in pairs], renderer)
    return network


def _blocks(network: TextLine) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions with their batch norms, in the order in which they are computed."""
    found: list[Any] = [each for each in network.body.modules() if isinstance(each, nn.Conv2d | nn.BatchNorm2d)]
    return list(zip(found[::2], found[1::2], strict=True))


@torch.no_grad()
def _give_statistics(network: TextLine, norms: list[nn.BatchNorm2d], renderer: LineRenderer) -> None:
    seen: dict[nn.Module, tuple[torch.Tensor, torch.Tensor]] = {}

    def look(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        channels = inputs[0].transpose(0, 1).flatten(1)
        seen[norm] = channels.mean(1), channels.var(1)

    handles = [norm.register_forward_pre_hook(look) for norm in norms]
    network(to_input(torch.from_numpy(np.stack([renderer.sample()[0] for _ in range(CROPS)]))))
    for handle in handles:
        handle.remove()
    for norm in norms:
        mean, variance = seen[norm]
        norm.running_mean, norm.running_var = mean.clone(), variance.clone()
        norm.weight.data = torch.sqrt(variance + norm.eps)
        norm.bias.data = norm.bias.data + mean


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="models/text-line.tflite", type=Path)
    parser.add_argument("--run", required=True, type=Path)
    parser.add_argument("--fonts", help="folder with OCRB.otf and OCRBS.otf")
    parser.add_argument("--rate", type=float, default=1e-3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = restored(arguments.model, LineRenderer(1, arguments.fonts))
    plain, file = compare(network, arguments.model, LineRenderer(99_999, arguments.fonts), 200)
    print(f"accuracy at character centres: restored {plain:.4f}, the file {file:.4f}")
    arguments.run.mkdir(parents=True, exist_ok=True)
    save(arguments.run, network, averaged(network), optimiser_of(network, arguments.rate), 0)


if __name__ == "__main__":
    main()
