"""What the kiosk page and the API must show in time and bytes, against three real processes: `make kiosk-proof`.

    python -m tests.browser.measure [--events 200] [--clients 200] [--loads 20]

Out: a line for each figure. From an event in vision to its text: the worker notes when it saw each change of
guidance (tests/spy), the page notes the first animation frame that has the new text; same machine, same clock. Both run
at the pace of life, so that the camera takes of the processor what it takes on a box.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from device.gateway.auth import add_relying_party, relying_parties_file
from device.launch import Services
from tests.browser.screen import SIZES, Screen, chromium
from tests.processes.conftest import AUDIENCE, NONCE, Box, running_box

SPY = Path(__file__).resolve().parents[1] / "spy"
WATCH = """
window.seen = [];
new MutationObserver(() => {
  const said = [shown.stage, shown.guidance, shown.step];
  requestAnimationFrame(() => seen.push([Date.now(), ...said]));
}).observe(document.querySelector(".say"), {childList: true, characterData: true, subtree: true});
undefined
"""
PAUSE = 2.0
ROUNDS = 5


def latencies(box: Box, browser: Any, wanted: int, events: Path) -> list[float]:
    """Milliseconds from the worker's seeing something to its text, of at least `wanted` texts."""
    screen = Screen(browser, box.services.wait_ready(), SIZES[0])
    screen.page.locator(".idle h1").wait_for()
    screen.page.evaluate(WATCH)
    found: list[float] = []
    while len(found) < wanted:
        verification = box.party.open(AUDIENCE, NONCE, "demo", int(time.time()))
        while box.party.state(verification)["state"] == "running":
            screen.page.wait_for_timeout(200)
        screen.page.wait_for_timeout(200)
        noted = [json.loads(line) for line in events.read_text().splitlines()]
        found += matched(noted, screen.page.evaluate("seen.splice(0)"))
        events.write_text("")
    screen.close()
    return found


def matched(noted: Sequence[Any], seen: Sequence[Any]) -> list[float]:
    """For each text on the page the newest event before it that says the same; each event counts once, with the first
    text. A change that was overtaken by the next one before the page heard of it is in none."""
    first: dict[float, float] = {}
    changes = [event for event, before in zip(noted, [None, *noted], strict=False) if event[1:] != (before or [0])[1:]]
    for at, *words in seen:
        same = [then for then, *said in changes if said == words and then <= at]
        if same and same[-1] not in first:
            first[same[-1]] = at - same[-1]
    return list(first.values())


def loads(url: str, browser: Any, count: int) -> tuple[list[float], int]:
    """First contentful paints in milliseconds with an empty cache, and the page's weight in bytes."""
    paints, weight = [], 0
    for _ in range(count):
        screen = Screen(browser, url, SIZES[0])
        entry = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
        while not (paint := screen.page.evaluate(entry)):
            screen.page.wait_for_timeout(20)
        paints.append(paint)
        weight = screen.page.evaluate("performance.getEntries().reduce((sum, e) => sum + (e.decodedBodySize || 0), 0)")
        screen.close()
    return paints, weight


def crowd(box: Box, clients: int) -> tuple[list[float], set[tuple[int, str]]]:
    """Rounds of so many callers at once while a verification runs, every second one with another party's token: how
    long each waited in seconds, and what the owners and the others were told."""
    verification = box.party.open(AUDIENCE, NONCE, "demo", int(time.time()))
    url = box.services.wait_ready()
    parties = relying_parties_file(box.config)
    others = [
        add_relying_party(parties, f"party{number}", policies=("demo",), audiences=(AUDIENCE,)) for number in range(8)
    ]
    waits: list[float] = []
    told: set[tuple[int, str]] = set()

    def ask(number: int, gate: threading.Barrier) -> tuple[float, int]:
        token = box.party._token if number % 2 else others[number // 2 % 8]
        gate.wait(60)
        began = time.monotonic()
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        connection.request("GET", f"/v1/verifications/{verification}", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return time.monotonic() - began, answer.status

    for _ in range(ROUNDS):
        if box.party.state(verification)["state"] != "running":  # on a busy machine the rounds outlast it
            verification = box.party.open(AUDIENCE, NONCE, "demo", int(time.time()))
        gate = threading.Barrier(clients)
        with ThreadPoolExecutor(clients) as pool:
            answers = list(pool.map(ask, range(clients), [gate] * clients))
        waits += [wait for wait, _ in answers]
        told |= {(status, "owner" if number % 2 else "other") for number, (_, status) in enumerate(answers)}
        time.sleep(PAUSE)
    return waits, told


def main() -> None:
    parser = argparse.ArgumentParser(description="Figures of the kiosk page and of many clients at once.")
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--loads", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vbx") as name, chromium() as browser:
        events = Path(name, "events")
        os.environ |= {"PYTHONPATH": str(SPY), "VOUCHBOX_EVENTS": str(events)}
        with running_box(Path(name), Services, pace="realtime") as box:
            paints, weight = loads(box.services.wait_ready(), browser, given.loads)
            print(f"page weight without fonts      {weight / 1000:.1f} kB (at most 150)")
            print(
                f"first paint                    median {statistics.median(paints):.0f} ms, worst {max(paints):.0f} ms"
            )
            found = latencies(box, browser, given.events, events)
            ninth = statistics.quantiles(found, n=20)[18]
            print(
                f"event in vision to its text    median {statistics.median(found):.0f} ms, "
                f"95 % within {ninth:.0f} ms, of {len(found)} (at most 150)"
            )
            waits, told = crowd(box, given.clients)
            print(
                f"{given.clients} clients at once, {ROUNDS} times   median {statistics.median(waits) * 1000:.0f} ms, "
                f"worst {max(waits) * 1000:.0f} ms (at most 1000)"
            )
            print(f"what they were told            {', '.join(f'{who}: {status}' for status, who in sorted(told))}")
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    print(f"load a processor at the end    {load:.1f}")


if __name__ == "__main__":
    main()
