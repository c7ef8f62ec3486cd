"""`vouchbox-provision support-bundle`: what support needs to know, shown before it is written; never anything personal.

In: a box. Out: a tar.gz of text files. No key, no token, no ledger row, no log line, no address.
"""

from __future__ import annotations

import gzip
import io
import json
import platform
import tarfile
from importlib.metadata import distributions
from pathlib import Path

import click
import msgspec

from provisioning.box import BoxFolder, open_box
from provisioning.commands.common import confirm, json_option, say, yes_option
from provisioning.files import write_atomic
from provisioning.selftest.report import REPORT_FILE, load_report
from provisioning.state import facts_of
from provisioning.units import run_command


def contents(box: BoxFolder) -> dict[str, bytes]:
    """Name to bytes of everything that goes in."""
    facts = facts_of(box)
    facts["keystore"] = box.config.notary.keystore.partition(":")[0]
    facts["relying_parties"] = len(facts.get("relying_parties") or [])
    config = msgspec.to_builtins(box.config)
    config["notary"]["keystore"] = facts["keystore"]
    files = {
        "status.json": json.dumps(facts, indent=1).encode(),
        "config.json": json.dumps(config, indent=1, default=str).encode(),
        "system.txt": _system().encode(),
        "packages.txt": "".join(sorted(f"{d.name}=={d.version}\n" for d in distributions())).encode(),
        "units.txt": run_command(["systemctl", "list-units", "--all", "--no-pager", "--plain", "vouchbox*"])[
            1
        ].encode(),
    }
    report = load_report(box.notes)
    if report is not None:
        files[REPORT_FILE] = msgspec.json.encode(report)
    return files


def _system() -> str:
    lines = [platform.platform(), platform.machine(), platform.python_version()]
    for path in ("/proc/device-tree/model", "/etc/os-release", "/proc/meminfo", "/proc/loadavg"):
        try:
            lines.append(f"--- {path}\n{Path(path).read_text(encoding='utf-8', errors='replace')[:4000]}")
        except OSError:
            continue
    return "\n".join(lines)


def pack(files: dict[str, bytes]) -> bytes:
    """A tar.gz."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(f"vouchbox-support/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@click.command("support-bundle")
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path), default="vouchbox-support.tar.gz")
@yes_option
@json_option
@click.pass_obj
def support_bundle(config: Path | None, target: Path, *, yes: bool, as_json: bool) -> None:
    """Writes TARGET for support; what is in it is shown first."""
    files = contents(open_box(config))
    click.echo("This goes into the bundle, and nothing else:", err=True)
    for name, data in sorted(files.items()):
        click.echo(f"  {name:16} {len(data):7} bytes", err=True)
    confirm(f"Write {target}?", yes=yes)
    write_atomic(target, pack(files), mode=0o600)
    say({"file": str(target), "contents": sorted(files)}, [f"written: {target}"], as_json=as_json)
