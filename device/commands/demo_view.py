"""What `vouchbox demo` shows on a terminal: the stages as they pass, the decoded verdict, its verification."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from device.commands.relying_party import Event
from device.verify import Verification

MARKS = {"pass": "[green]pass[/]", "fail": "[red]fail[/]", "not_performed": "[yellow]not performed[/]"}
OUTCOMES = {"verified": "bold green", "rejected": "bold red", "inconclusive": "bold yellow"}


def show_stages(console: Console, events: Iterator[Event]) -> None:
    """One line a stage, with the guidance of the moment beside a spinner."""
    stage, begun = None, time.monotonic()
    with console.status("opening the camera") as status:
        for event in events:
            now = event.data.get("stage")
            if now != stage and now is not None:
                if stage not in (None, "consent"):
                    console.print(f"  [bold]{stage}[/] {time.monotonic() - begun:.1f} s")
                stage, begun = now, time.monotonic()
            status.update(_line(event.data))


def _line(data: dict[str, Any]) -> str:
    words = str(data.get("guidance", "")).replace("_", " ")
    steps = f" (movement {data['step']} of {data['steps']})" if data.get("steps") else ""
    return f"{data.get('stage', '')}: {words}{steps}, {data.get('seconds_left', 0)} s left"


def show_verdict(console: Console, token: str, claims: dict[str, Any], found: Verification, *, emulated: bool) -> None:
    """The verdict as a relying party reads it."""
    outcome = str(claims.get("verdict", "no verdict"))
    table = Table(box=None, pad_edge=False)
    for heading in ("check", "result", "reason", "by"):
        table.add_column(heading)
    for name, check in claims.get("checks", {}).items():
        by = " ".join(str(check[key]) for key in ("method", "fmr") if check.get(key))
        table.add_row(name, MARKS.get(check["result"], check["result"]), check.get("reason") or "", by)
    console.print(Panel(table, title=f"[{OUTCOMES.get(outcome, 'bold')}]{outcome}[/]", title_align="left"))
    for name in ("iss", "aud", "eat_nonce", "policy", "camera", "dbgstat", "attributes", "consent"):
        if name in claims:
            console.print(f"  {name:12} {claims[name]}", highlight=False)
    if "exp" in claims:
        console.print(
            f"  {'exp':12} {datetime.fromtimestamp(claims['exp'], UTC):%Y-%m-%d %H:%M:%S} UTC", highlight=False
        )
    console.print(f"\n  token        {token[:40]}…{token[-12:]} ({len(token)} bytes)", highlight=False)
    if found.valid:
        console.print("  [green]verified offline[/]: signature, certificate chain, audience, nonce and time hold")
    else:
        console.print(f"  [red]not verified offline[/]: {found.reason}")
    if emulated:
        console.print(
            "  an emulated camera signs with the development key: `vouchbox verify` refuses this verdict unless\n"
            "  told --allow-emulated; and the selfie is the document's portrait, rendered again",
            style="dim",
            highlight=False,
        )
