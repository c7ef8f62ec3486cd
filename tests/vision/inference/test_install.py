"""Installing from every kind of source, over the real pip and a real (loopback) web server, without the internet."""

import hashlib
import http.server
import threading
import zipfile
from functools import partial

import pytest

from device.commands.fetch import NetworkFetcher
from device.errors import ConfigurationError, ModelError
from device.vision.inference.install import State, install, listing, unpack, verify
from device.vision.inference.manifest import load_manifest, package_folder
from tests.vision.inference.bundles import DATA, describe, make_bundle, sha256

TINY = DATA / "tiny_float.tflite"
SIZE = TINY.stat().st_size


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/redirect/"):
            self.send_response(302)
            self.send_header("Location", "http://models.invalid" + self.path)
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    handler = partial(QuietHandler, directory=str(DATA))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def manifest_of(tmp_path, text):
    make_bundle(tmp_path / "described" / "bundle", text)
    return load_manifest(folders=(package_folder(), tmp_path / "described", tmp_path / "installed"))


def url_source(url, size=SIZE):
    return f'{{ kind = "url", url = "{url}", size = {size} }}'


def put(manifest, tmp_path, fetcher=None, names=("tiny",), **more):
    return install(manifest, names, tmp_path / "installed", fetcher or NetworkFetcher(""), **more)


def test_url_install_then_nothing_to_do(tmp_path, server):
    manifest = manifest_of(tmp_path, describe(source=url_source(f"{server}/tiny_float.tflite")))
    said = []
    (first,) = put(manifest, tmp_path, progress=said.append)
    assert first.changed
    assert first.path.read_bytes() == TINY.read_bytes()
    assert any("fetching" in line for line in said)
    (again,) = put(manifest, tmp_path)
    assert not again.changed
    assert [status.state for status in verify(manifest, ["tiny"])] == [State.OK]


def test_damaged_file_is_replaced(tmp_path, server):
    manifest = manifest_of(tmp_path, describe(source=url_source(f"{server}/tiny_float.tflite")))
    (done,) = put(manifest, tmp_path)
    done.path.write_bytes(b"bit rot")
    (status,) = verify(manifest, ["tiny"])
    assert status.state is State.WRONG
    assert "SHA-256" in status.problem
    assert put(manifest, tmp_path)[0].changed
    assert verify(manifest, ["tiny"])[0].state is State.OK


@pytest.mark.parametrize(
    ("path", "changes", "said"),
    [
        ("tiny_int8.tflite", {}, "bytes|SHA-256"),
        ("absent.tflite", {}, "cannot fetch.*(404|(?i:not found))"),
        ("tiny_float.tflite", {"size": 100}, "larger than 100 bytes"),
        ("tiny_float.tflite", {"size": SIZE + 1}, f"has {SIZE} bytes"),
        ("redirect/tiny_float.tflite", {}, "cannot fetch"),
    ],
    ids=["wrong_bytes", "not_there", "too_large", "too_small", "redirected_away"],
)
def test_refused_download_leaves_nothing(tmp_path, server, path, changes, said):
    manifest = manifest_of(tmp_path, describe(source=url_source(f"{server}/{path}", **changes)))
    with pytest.raises(ModelError, match=said):
        put(manifest, tmp_path)
    assert not list((tmp_path / "installed").glob("*"))


def test_server_gone(tmp_path):
    manifest = manifest_of(tmp_path, describe(source=url_source("http://127.0.0.1:9/tiny_float.tflite")))
    with pytest.raises(ModelError, match="cannot fetch"):
        put(manifest, tmp_path)


def test_plain_http_is_refused_off_loopback(tmp_path):
    manifest = manifest_of(tmp_path, describe(source=url_source("http://models.example/tiny.tflite")))
    with pytest.raises(ConfigurationError, match="https"):
        put(manifest, tmp_path)


def test_https_never_redirects_to_http(tmp_path):
    import urllib.request

    from device.commands.fetch import _SafeRedirects

    asked = urllib.request.Request("https://models.example/a")
    with pytest.raises(ConfigurationError, match="https"):
        _SafeRedirects().redirect_request(asked, None, 302, "", {}, "http://models.example/a")


def test_mirror_over_http(tmp_path, server):
    manifest = manifest_of(tmp_path, describe(source=url_source("https://models.invalid/elsewhere/x.tflite")))
    (done,) = put(manifest, tmp_path, NetworkFetcher(server))
    assert done.path.read_bytes() == TINY.read_bytes()


def test_mirror_in_a_folder(tmp_path, monkeypatch):
    manifest = manifest_of(tmp_path, describe(source=url_source("https://models.invalid/x.tflite")))
    monkeypatch.setenv("VOUCHBOX_MODEL_MIRROR", str(DATA))
    (done,) = install(manifest, ["tiny"], tmp_path / "installed", NetworkFetcher())
    assert done.path.read_bytes() == TINY.read_bytes()


def test_mirror_with_other_bytes_is_refused(tmp_path):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "tiny_float.tflite").write_bytes(b"not the model")
    manifest = manifest_of(tmp_path, describe(source=url_source("https://models.invalid/x.tflite")))
    with pytest.raises(ModelError, match="SHA-256"):
        put(manifest, tmp_path, NetworkFetcher(str(tmp_path / "mirror")))
    assert not list((tmp_path / "installed").glob("*"))


@pytest.fixture
def wheelhouse(tmp_path, monkeypatch):
    """A wheel that pip finds without the internet; gives (folder, path, hash)."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    path = folder / "tinymodels-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.write(TINY, "tinymodels/models/tiny.tflite")
        wheel.writestr("tinymodels/other.py", "raise SystemExit('never run')")
        meta = "tinymodels-1.0.dist-info"
        wheel.writestr(f"{meta}/METADATA", "Metadata-Version: 2.1\nName: tinymodels\nVersion: 1.0\n")
        wheel.writestr(
            f"{meta}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp311-cp311-manylinux_2_17_x86_64\n"
        )
        wheel.writestr(f"{meta}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def wheel_text(wheel_hash, member="tinymodels/models/tiny.tflite", version="1.0", **changes):
    table = (
        f'[wheels.tinymodels]\nrequirement = "tinymodels=={version}"\npython_version = "3.11"\n'
        f'platforms = ["manylinux_2_17_x86_64"]\nsha256 = "{wheel_hash}"\n'
    )
    source = f'{{ kind = "wheel", wheel = "tinymodels", member = "{member}" }}'
    return describe(source=source, **changes) + table


def test_wheel_install_keeps_only_the_model(tmp_path, wheelhouse):
    manifest = manifest_of(tmp_path, wheel_text(wheelhouse[1]))
    (done,) = put(manifest, tmp_path)
    assert done.path.read_bytes() == TINY.read_bytes()
    assert [path.name for path in (tmp_path / "installed").iterdir()] == ["tiny_float.tflite"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"wheel_hash": "2" * 64}, "pip could not fetch.*(?i:sha256|hash)"),
        ({"version": "9.9"}, "pip could not fetch tinymodels==9.9"),
        ({"member": "tinymodels/absent.tflite"}, "has no member"),
        ({"member": "tinymodels/other.py"}, "SHA-256"),
    ],
    ids=["wrong_wheel_hash", "no_such_version", "no_such_member", "wrong_member"],
)
def test_refused_wheel_leaves_nothing(tmp_path, wheelhouse, changes, said):
    manifest = manifest_of(tmp_path, wheel_text(**({"wheel_hash": wheelhouse[1]} | changes)))
    with pytest.raises(ModelError, match=said):
        put(manifest, tmp_path)
    assert not list((tmp_path / "installed").glob("*"))


def test_member_that_claims_to_be_huge_is_not_unpacked(tmp_path, wheelhouse, monkeypatch):
    monkeypatch.setattr("device.vision.inference.install.LARGEST_MODEL", 100)
    with pytest.raises(ModelError, match="larger than 100 bytes"):
        unpack(wheelhouse[0], "tinymodels/models/tiny.tflite", tmp_path / "out")


def test_truncated_wheel(tmp_path, wheelhouse):
    path = wheelhouse[0]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ModelError, match="damaged"):
        unpack(path, "tinymodels/models/tiny.tflite", tmp_path / "out")


def build_text(server, **changes):
    part = f'{{ url = "{server}/tiny_float.tflite", sha256 = "{sha256("tiny_float.tflite")}", size = {SIZE} }}'
    return describe(source=f'{{ kind = "build", builder = "reverse", files = [{part}] }}', **changes)


def reverse(parts, target):
    target.write_bytes(parts[0].read_bytes()[::-1])


def test_build_from_parts(tmp_path, server):
    wanted = TINY.read_bytes()[::-1]
    manifest = manifest_of(tmp_path, build_text(server, sha256=f'"{hashlib.sha256(wanted).hexdigest()}"'))
    (done,) = put(manifest, tmp_path, builders={"reverse": reverse})
    assert done.path.read_bytes() == wanted


def test_build_that_comes_out_differently_is_refused(tmp_path, server):
    manifest = manifest_of(tmp_path, build_text(server))
    with pytest.raises(ModelError, match="SHA-256"):
        put(manifest, tmp_path, builders={"reverse": reverse})


def test_manifest_cannot_name_code_to_build_with(tmp_path, server):
    manifest = manifest_of(tmp_path, build_text(server))
    with pytest.raises(ModelError, match="cannot build 'reverse'"):
        put(manifest, tmp_path)


def test_missing_package_file_is_not_fetched_from_anywhere(tmp_path):
    with pytest.raises(ModelError, match="comes with the package or bundle"):
        put(manifest_of(tmp_path, describe()), tmp_path)


def test_wrong_file_elsewhere_would_hide_the_right_one(tmp_path, server):
    manifest = manifest_of(tmp_path, describe(source=url_source(f"{server}/tiny_float.tflite")))
    (tmp_path / "described" / "tiny_float.tflite").write_bytes(b"in the way")
    with pytest.raises(ModelError, match="remove it first"):
        put(manifest, tmp_path)


def test_unwritable_destination(tmp_path, server):
    manifest = manifest_of(tmp_path, describe(source=url_source(f"{server}/tiny_float.tflite")))
    (tmp_path / "file").write_text("a file where the folder should be")
    with pytest.raises(ModelError, match="cannot write"):
        install(manifest, ["tiny"], tmp_path / "file", NetworkFetcher(""))


def test_listing_tells_missing_from_wrong(tmp_path):
    manifest = manifest_of(tmp_path, describe() + describe(name="second", file="tiny_int8.tflite"))
    (tmp_path / "described" / "bundle" / "tiny_int8.tflite").write_bytes(b"?")
    states = {status.entry.name: status.state for status in listing(manifest)}
    assert states["tiny"] is State.MISSING
    assert states["second"] is State.WRONG


def test_verify_loads_what_has_the_right_hash(tmp_path):
    make_bundle(tmp_path / "b", describe(outputs="[[1, 4, 4, 9]]"), "tiny_float.tflite")
    manifest = load_manifest(folders=(package_folder(), tmp_path))
    (status,) = verify(manifest, ["tiny"])
    assert status.state is State.WRONG
    assert "outputs are" in status.problem
