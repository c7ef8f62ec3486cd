"""Writes the two tiny models of these tests: one 3 x 3 convolution of fixed weights, float32 and full-integer int8.

    python -m tests.vision.inference.make_tiny        (needs the extra [training])

Input 1 x 4 x 4 x 3, output 1 x 4 x 4 x 2: channel sums of the 3 x 3 neighbourhood, halved, and the same negated.
"""

from pathlib import Path

import litert_torch
import numpy as np
import torch
from ai_edge_quantizer import quantizer, recipe

DATA = Path(__file__).parent / "data"


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 2, 3, padding=1, bias=False)
        with torch.no_grad():
            self.conv.weight[0] = 0.5
            self.conv.weight[1] = -0.5

    def forward(self, x):
        return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def main():
    DATA.mkdir(exist_ok=True)
    example = torch.rand(1, 4, 4, 3)
    litert_torch.convert(Tiny().eval(), (example,)).export(str(DATA / "tiny_float.tflite"))
    maker = quantizer.Quantizer(str(DATA / "tiny_float.tflite"), recipe.static_wi8_ai8())
    random = np.random.default_rng(1)
    samples = [{"args_0": random.random((1, 4, 4, 3), dtype=np.float32)} for _ in range(50)]
    samples += [{"args_0": np.ones((1, 4, 4, 3), np.float32)}, {"args_0": np.zeros((1, 4, 4, 3), np.float32)}]
    calibration = maker.calibrate({"serving_default": samples})
    maker.quantize(calibration).export_model(str(DATA / "tiny_int8.tflite"), overwrite=True)


if __name__ == "__main__":
    main()
