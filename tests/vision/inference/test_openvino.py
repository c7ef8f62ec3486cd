"""Networks of OpenVINO rebuilt as TFLite: a tiny one made here against plain numpy, the real one from ../shared."""

import http.server
import threading
from functools import partial

import numpy as np
import pytest

from device.commands.fetch import NetworkFetcher
from device.commands.models import BUILDERS
from device.errors import ModelError
from device.vision.inference.install import State, install, verify
from device.vision.inference.manifest import load_manifest, package_folder
from device.vision.inference.model import Interpreter
from device.vision.inference.openvino import build

RANDOM = np.random.default_rng(7)


class Network:
    """Writes an .xml and a .bin, layer by layer."""

    def __init__(self, shape):
        self.layers, self.edges, self.data, self.count = [], [], b"", 0
        self.last = self.layer("Parameter", shape=",".join(map(str, shape)), element_type="f32")

    def layer(self, kind, *inputs, **data):
        attributes = " ".join(f'{key}="{value}"' for key, value in data.items())
        self.layers.append(f'<layer id="{self.count}" type="{kind}"><data {attributes}/></layer>')
        for port, source in enumerate(inputs):
            self.edges.append(f'<edge from-layer="{source}" from-port="9" to-layer="{self.count}" to-port="{port}"/>')
        self.last, self.count = self.count, self.count + 1
        return self.last

    def constant(self, values):
        half = np.asarray(values, dtype=np.float16)
        shape, start = ", ".join(map(str, half.shape)), len(self.data)
        self.data += half.tobytes()
        return self.layer(
            "Convert", self.layer("Const", element_type="f16", shape=shape, offset=start, size=half.nbytes)
        )

    def write(self, folder):
        self.layer("Result", self.last)
        # Layers may come in any order in the file.
        text = f"<net><layers>{''.join(reversed(self.layers))}</layers><edges>{''.join(self.edges)}</edges></net>"
        (folder / "net.xml").write_text(text)
        (folder / "net.bin").write_bytes(self.data)
        return [folder / "net.xml", folder / "net.bin"]


def convolution(network, kind, weights, stride=1, padding=0):
    around = f"{padding}, {padding}"
    return network.layer(
        kind,
        *after(network, weights),
        strides=f"{stride}, {stride}",
        dilations="1, 1",
        pads_begin=around,
        pads_end=around,
    )


def after(network, values):
    """The last layer and a new constant: the two inputs of most layers."""
    before = network.last
    return before, network.constant(values)


def run(path, x):
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def plain_convolution(x, weights, stride, padding):
    """N x C x H x W by the definition; `weights` outputs x inputs x height x width, one input for depthwise."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    size = weights.shape[2]
    side = (x.shape[2] - size) // stride + 1
    found = np.zeros((1, len(weights), side, side))
    for output, kernel in enumerate(weights):
        source = x[0] if kernel.shape[0] == x.shape[1] else x[0, output : output + 1]
        for row in range(side):
            for column in range(side):
                part = source[:, row * stride : row * stride + size, column * stride : column * stride + size]
                found[0, output, row, column] = (part * kernel).sum()
    return found


@pytest.mark.parametrize("slope", [0.25, -0.8, 3.0])
def test_every_kind_of_layer_is_what_its_definition_says(tmp_path, slope):
    first = RANDOM.normal(size=(4, 3, 3, 3)).astype(np.float16)
    second = RANDOM.normal(size=(4, 1, 3, 3)).astype(np.float16)
    bias, scale = RANDOM.normal(size=4).astype(np.float16), RANDOM.normal(size=4).astype(np.float16)
    network = Network((1, 3, 8, 8))
    convolution(network, "Convolution", first, stride=2, padding=1)
    network.layer("Add", *after(network, bias.reshape(1, 4, 1, 1)))
    squeezed = network.layer("PReLU", *after(network, [slope]))
    convolution(network, "GroupConvolution", second.reshape(4, 1, 1, 3, 3), padding=1)
    deep = network.layer("Multiply", *after(network, scale.reshape(1, 4, 1, 1)))
    pooled = network.layer("AvgPool", deep, kernel="4, 4")
    gate = network.layer("Sigmoid", pooled)
    gated = network.layer("Multiply", squeezed, gate)
    network.layer("Add", gated, squeezed)
    build(network.write(tmp_path), tmp_path / "net.tflite")

    x = RANDOM.normal(size=(1, 3, 8, 8)).astype(np.float32)
    y = plain_convolution(x, first.astype(float), 2, 1) + bias.astype(float).reshape(1, 4, 1, 1)
    y = np.where(y > 0, y, y * np.float16(slope).astype(float))
    z = plain_convolution(y, second.astype(float), 1, 1) * scale.astype(float).reshape(1, 4, 1, 1)
    wanted = y / (1 + np.exp(-z.mean(axis=(2, 3), keepdims=True))) + y
    found = run(tmp_path / "net.tflite", x.transpose(0, 2, 3, 1))
    assert found.transpose(0, 3, 1, 2) == pytest.approx(wanted, abs=1e-3)


def test_building_again_gives_the_same_bytes(tmp_path):
    network = Network((1, 3, 8, 8))
    convolution(network, "Convolution", RANDOM.normal(size=(2, 3, 1, 1)))
    files = network.write(tmp_path)
    build(files, tmp_path / "a.tflite")
    build(files[::-1], tmp_path / "b.tflite")
    assert (tmp_path / "a.tflite").read_bytes() == (tmp_path / "b.tflite").read_bytes()


def unknown_layer(network):
    network.layer("Interpolate", network.last)


def uneven_stride(network):
    weights = network.constant(np.ones((2, 3, 1, 1)))
    network.layer("Convolution", 0, weights, strides="1, 2", pads_begin="0, 0", pads_end="0, 0", dilations="1, 1")


def slope_per_channel(network):
    network.layer("PReLU", *after(network, [0.1, 0.2, 0.3]))


def pool_of_a_part(network):
    network.layer("AvgPool", network.last, kernel="2, 2")


@pytest.mark.parametrize("defect", [unknown_layer, uneven_stride, slope_per_channel, pool_of_a_part])
def test_what_cannot_be_rebuilt_is_refused(tmp_path, defect):
    network = Network((1, 3, 8, 8))
    defect(network)
    with pytest.raises(ModelError, match="cannot be rebuilt"):
        build(network.write(tmp_path), tmp_path / "net.tflite")


def test_weights_that_end_too_early_are_refused(tmp_path):
    network = Network((1, 3, 8, 8))
    convolution(network, "Convolution", np.ones((2, 3, 1, 1)))
    files = network.write(tmp_path)
    files[1].write_bytes(files[1].read_bytes()[:-2])
    with pytest.raises(ModelError, match="cannot be rebuilt"):
        build(files, tmp_path / "net.tflite")


def test_half_of_the_files_is_not_enough(tmp_path):
    with pytest.raises(ModelError, match=r"an \.xml and a \.bin"):
        build([tmp_path / "net.xml"], tmp_path / "net.tflite")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.mark.shared
@pytest.mark.parametrize("over_http", [True, False], ids=["server", "folder"])
def test_the_apache_embedder_is_fetched_from_a_mirror_and_rebuilt(tmp_path, shared, over_http):
    mirror = shared / "models" / "ov_face-reidentification-retail-0095"
    manifest = load_manifest(folders=(package_folder(), tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(mirror))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"http://127.0.0.1:{server.server_address[1]}" if over_http else str(mirror)
        (done,) = install(manifest, ["omz-face-0095"], tmp_path, NetworkFetcher(where), builders=BUILDERS)
        server.shutdown()
    assert done.changed
    assert [status.state for status in verify(manifest, ["omz-face-0095"])] == [State.OK]
