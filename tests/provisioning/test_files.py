"""Whole or not there: the ways in which provisioning writes."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

import pytest

from device.errors import ConfigurationError, InputError
from provisioning.files import clear_parts, new_folder, point, read_limited, write_atomic, write_once


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_written_with_its_mode_and_nothing_beside_it(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "key", b"1", mode=0o600)
    write_atomic(tmp_path / "a" / "key", b"2", mode=0o600)
    assert (tmp_path / "a" / "key").read_bytes() == b"2"
    assert stat.S_IMODE((tmp_path / "a" / "key").stat().st_mode) == 0o600
    assert names(tmp_path / "a") == {"key"}


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_atomic(target, b"old")

    def refuse(_part: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ConfigurationError, match="No space left"):
        write_atomic(target, b"new", finish=refuse)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == {"file"}


def test_written_once(tmp_path: Path) -> None:
    assert write_once(tmp_path / "id", b"first")
    assert not write_once(tmp_path / "id", b"second")
    assert (tmp_path / "id").read_bytes() == b"first"
    assert names(tmp_path) == {"id"}


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP])
def test_written_once_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A stick's file system is FAT."""

    def refuse(_source: Path, _target: Path) -> None:
        raise OSError(code, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    assert write_once(tmp_path / "token", b"first")
    assert not write_once(tmp_path / "token", b"second")
    assert (tmp_path / "token").read_bytes() == b"first"
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert names(tmp_path) == {"token"}
    monkeypatch.setattr(Path, "exists", lambda _path: False)  # somebody was quicker
    assert not write_once(tmp_path / "token", b"third")


def test_a_folder_comes_all_at_once(tmp_path: Path) -> None:
    with new_folder(tmp_path / "made") as fresh:
        (fresh / "one").write_bytes(b"1")
        assert not (tmp_path / "made").exists()
    assert names(tmp_path) == {"made"}
    with pytest.raises(ConfigurationError), new_folder(tmp_path / "broken") as fresh:
        (fresh / "nothing").read_bytes()
    assert names(tmp_path) == {"made"}
    with pytest.raises(ConfigurationError, match="there already"), new_folder(tmp_path / "made"):
        pass


def test_what_an_interrupted_run_left_goes(tmp_path: Path) -> None:
    (tmp_path / ".made.part-00ff").mkdir()
    (tmp_path / ".made.part-00ff" / "key.pem").write_bytes(b"half")
    (tmp_path / ".file.part-1234").write_bytes(b"half")
    (tmp_path / "kept").write_bytes(b"")
    clear_parts(tmp_path)
    assert names(tmp_path) == {"kept"}


def test_a_link_is_replaced_in_one_step(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    point(tmp_path / "link", "a")
    point(tmp_path / "link", "b")
    assert str((tmp_path / "link").readlink()) == "b"
    assert names(tmp_path) == {"a", "b", "link"}


@pytest.mark.parametrize(("data", "words"), [(None, "cannot read"), (b" \n", "is empty"), (b"x" * 11, "too large")])
def test_a_named_file_that_is_no_use(tmp_path: Path, data: bytes | None, words: str) -> None:
    path = tmp_path / "named"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError, match=words):
        read_limited(path, 10, "a bundle")
