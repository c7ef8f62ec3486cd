"""`vouchbox request`: what no box would read is not drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from device.commands.request import make_key, request

GOOD = {"--party": "shop", "--box": "AQAAAA", "--audience": "https://shop.example", "--nonce": "7Zq2c3v9N0aX1mB4"}


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [("--party", "my shop!", "iss"), ("--nonce", "12", "nonce"), ("--box", "A" * 65, "aud")],
)
def test_a_request_that_no_box_would_take_is_refused_where_it_is_made(
    tmp_path: Path, option: str, value: str, named: str
) -> None:
    key, picture = tmp_path / "key.pem", tmp_path / "request.png"
    make_key(key)
    for options, code in ((GOOD, 0), (GOOD | {option: value}, 2)):
        arguments = [part for pair in options.items() for part in pair]
        done = CliRunner().invoke(request, [*arguments, "--key", str(key), "--out", str(picture)])
        assert done.exit_code == code, done.output
    assert named in done.output
