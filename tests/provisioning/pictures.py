"""Makes the terminal pictures of docs/operations.md: the technician's commands, run for real, as SVG.

    python -m tests.provisioning.pictures [FOLDER]        (default docs/operations)

A box and an organisation are made in a temporary folder. This machine has no camera of its own to show, so the
self-test says what a box says that lacks one.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
import tempfile
from pathlib import Path

from click.testing import CliRunner
from rich.console import Console
from rich.text import Text

from provisioning.cli import provision
from tests.provisioning.conftest import SETTINGS, Bench, facts

WIDTH = 110
BOX = "branch-12-left"


def typed(bench: Bench, line: str, *more: str) -> str:
    """What a command prints. `line` is shown as it is; `more` are options that only this machine needs."""
    words = [str(bench.folder / word[2:]) if word.startswith("~") else word for word in shlex.split(line)[1:]]
    runner = CliRunner(env={"COLUMNS": str(WIDTH), "FORCE_COLOR": "1", "TERM": "xterm-256color"})
    result = runner.invoke(provision, ["--config", str(bench.config), *words, *more])
    said = result.output or f"vouchbox-provision: {result.exception}"
    return said.replace(str(bench.folder), "~")


def picture(file: Path, title: str, line: str, said: str) -> None:
    """One SVG: the prompt, the command, what it said."""
    console = Console(record=True, width=WIDTH, file=sys.stderr, force_terminal=True)
    console.print(Text.assemble(("$ ", "bold green"), (line, "bold")))
    console.print(Text.from_ansi(said.rstrip()))
    svg = console.export_svg(title=title, unique_id=file.stem)
    file.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S), encoding="utf-8")


def main() -> None:
    """See the module's text."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/operations")
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vouchbox-pictures-") as name:
        bench = Bench(Path(name))
        options = ("--name", SETTINGS.name, "--issuer", SETTINGS.issuer, "--status-uri", SETTINGS.status_uri)
        facts("authority", "create", bench.authority, *options)
        line = f"vouchbox-provision init --name {BOX} --camera v4l2:/dev/video0 --request ~/request.pem"
        picture(
            target / "init.svg", "init", line, typed(bench, line, "--keystore", "file", "--state", str(bench.state))
        )
        line = "vouchbox-provision authority issue ~/authority ~/request.pem"
        picture(target / "issue.svg", "at the authority", line, typed(bench, line))
        line = "vouchbox-provision enrol --bundle ~/request.bundle.json"
        picture(target / "enrol.svg", "enrol", line, typed(bench, line))
        line = "vouchbox-provision relying-party add bank --policy standard --audience https://bank.example"
        token = ("--token-file", str(bench.folder / "token"))
        picture(target / "relying-party.svg", "relying party", line, typed(bench, line, *token))
        line = "vouchbox-provision selftest --report ~/report.html"
        picture(target / "selftest.svg", "self-test", line, typed(bench, line, "--quick"))
        found = json.loads((bench.state / "provisioning/selftest.json").read_text())["findings"]
        failed = [one["name"] for one in found if one["result"] == "fail" and not one.get("advisory")]
        line = " ".join(["vouchbox-provision seal --use research --yes", *(f"--accept {name}" for name in failed)])
        picture(target / "seal.svg", "seal", line, typed(bench, line))
        line = "vouchbox-provision status"
        picture(target / "status.svg", "status", line, typed(bench, line))


if __name__ == "__main__":
    main()
