"""The three examples of docs/integrate.md do what they say: against a live box, and where there is no verdict."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from device.certificates import Purpose
from device.channel import Channel
from device.gateway.problems import Kind
from device.protocol import Ended, OpenVerification, Outcome, Reason
from provisioning.authority import create_issuing, create_root, ensure_development_identity, pem
from tests.gateway.conftest import POLICY, Box
from tests.gateway.scripted_notary import opened, send_verdict
from tests.processes.conftest import Box as LiveBox
from tests.processes.conftest import running_box
from tests.verdicts import make_signer, make_verdict

DOCUMENT = (Path(__file__).parents[2] / "docs" / "integrate.md").read_text()
PROGRAMS = {"bash": ("bash", ".sh"), "python": (sys.executable, ".py"), "js": ("node", ".cjs")}
MOST_LINES = 35


@pytest.fixture(params=PROGRAMS)
def example(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The command that runs one of the examples."""
    program, suffix = PROGRAMS[request.param]
    needed = [program, "curl"] if request.param == "bash" else [program]
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        pytest.skip(f"there is no {', '.join(missing)} here")
    (block,) = re.findall(rf"```{request.param}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert len(block.splitlines()) <= MOST_LINES
    path = tmp_path / f"example{suffix}"
    path.write_text(block)
    return [program, str(path)]


def run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **variables}
    folder = Path(command[1]).parent
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=110, check=False, cwd=folder
    )


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveBox]:
    with running_box(tmp_path_factory.mktemp("b")) as box:
        (box.config.state / "root.pem").write_bytes(box.root_pem)
        yield box


@pytest.mark.slow
def test_from_nothing_to_a_checked_verdict(live: LiveBox, example: list[str]) -> None:
    variables = {
        "BOX": live.services.wait_ready(),
        "TOKEN": live.party._token,
        "ROOT": str(live.config.state / "root.pem"),
        "ALLOW_EMULATED": "1",
    }
    done = run(example, **variables)
    assert done.returncode == 0, done.stderr[-2000:]
    # Whether the emulated person passes is other tests' matter: the examples say what a valid verdict says.
    assert re.match(r"valid: (verified|rejected|inconclusive)\b", done.stdout), (done.stdout, done.stderr[-500:])
    assert "finished" in done.stderr


def test_it_says_why_there_is_no_verdict(box: Box, example: list[str]) -> None:
    def refuse(channel: Channel, _request: OpenVerification) -> None:
        channel.send(opened())
        channel.send(Ended(Outcome.INCONCLUSIVE, Reason.KEY_UNAVAILABLE))

    box.notary.script = refuse
    done = run(example, BOX=box.service.url, TOKEN=box.caller.token or "", POLICY=POLICY, ROOT="/dev/null")
    assert done.returncode == 1
    assert Kind.KEY_UNAVAILABLE.type in done.stderr


def test_it_says_that_it_may_not_ask(box: Box, example: list[str]) -> None:
    done = run(example, BOX=box.service.url, TOKEN="vbx_wrong", POLICY=POLICY, ROOT="/dev/null")
    assert done.returncode == 1
    assert Kind.UNAUTHENTICATED.type in done.stderr


def test_what_is_no_verdict_is_not_believed(box: Box, example: list[str], tmp_path: Path) -> None:
    """A token that is none stands for every token that does not verify: the examples do not believe it."""
    root = ensure_development_identity(tmp_path / "state").root
    done = run(example, BOX=box.service.url, TOKEN=box.caller.token or "", POLICY=POLICY, ROOT=str(root))
    assert "valid: " not in done.stdout.replace("not valid: ", "")


@pytest.mark.parametrize("purpose", Purpose)
def test_an_authority_vouches_only_for_what_it_is_for(
    box: Box, example: list[str], tmp_path: Path, purpose: Purpose
) -> None:
    """A verdict of a leaf for production: believed below an issuing key for that, and below no other."""
    issuing = create_issuing(create_root("Organisation"), "Boxes", purpose=purpose)
    signer = make_signer(tmp_path / "key", authority=issuing)

    def answer(channel: Channel, request: OpenVerification) -> None:
        channel.send(opened())
        asked = {"aud": request.audience, "eat_nonce": request.nonce}
        send_verdict(channel, token=make_verdict(signer, lambda claims: claims.update(asked)))

    box.notary.script = answer
    (tmp_path / "root.pem").write_bytes(pem((signer.root,)))
    done = run(
        example, BOX=box.service.url, TOKEN=box.caller.token or "", POLICY=POLICY, ROOT=str(tmp_path / "root.pem")
    )
    believed = "valid: verified" in done.stdout.replace("not valid: ", "")
    assert believed == (purpose is Purpose.PRODUCTION), (done.stdout, done.stderr[-500:])


def test_the_problems_that_it_names_exist() -> None:
    table = DOCUMENT.partition("## What can go wrong")[2].partition("A verification that has ended")[0]
    rows = [row for row in table.splitlines() if row.startswith("| `") and "urn:" not in row]
    for row in rows:
        names, status = row.split("|")[1:3]
        for name in re.findall(r"`([a-z-]+)`", names):
            kind = next(kind for kind in Kind if kind.slug == name)
            assert kind.status == int(status)
