"""The whole loop where there is no network: run by test_loop.py in a network namespace of its own.

In: a folder. Out: `result.json` in it. Interfaces other than loopback are an error; the kiosk page's browser and the
gateway speak over loopback, as on a box.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import cv2
from joserfc.jwk import ECKey

from device.commands.demo import demo_config
from device.config import VisionConfig
from device.notary.box import load_box
from device.notary.requesters import add_requester, requesters_file
from device.qr import modules
from tests.airgap.kiosk_client import KioskClient, photographed
from tests.gateway.sniffed import SniffedServices

AUDIENCE = "https://relying-party.example"


def vouchbox(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "device.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def picture(text: str, path: Path) -> None:
    rows = [[0 if dark else 255 for dark in [*[False] * 4, *row, *[False] * 4]] for row in modules(text)]
    margin = [[255] * len(rows[0])] * 4
    import numpy as np

    cv2.imwrite(str(path), np.kron(np.array([*margin, *rows, *margin], np.uint8), np.ones((8, 8), np.uint8)))


def main(folder: Path) -> None:
    interfaces = [name for _, name in socket.if_nameindex()]
    routes = Path("/proc/net/route").read_text().splitlines()[1:]
    assert interfaces == ["lo"], interfaces
    assert routes == [], routes

    scenario = folder / "scenario.toml"
    config, root_pem = demo_config(folder, VisionConfig(camera=f"emulated:{scenario}", pace="fast"))
    (folder / "root.pem").write_bytes(root_pem)
    box = load_box(config).id

    # The relying party, somewhere else: a key, and its public half carried to the box.
    public = vouchbox("request", "--new-key", "--key", str(folder / "key.pem")).stdout
    add_requester(
        requesters_file(config), "bank", name="The Bank", key=public, policies=("demo",), audiences=(AUDIENCE,)
    )
    asked = ["--key", str(folder / "key.pem"), "--party", "bank", "--box", box, "--audience", AUDIENCE]
    made = vouchbox("request", *asked, "--policy", "demo", "--out", str(folder / "request.png"), "--json")
    assert made.returncode == 0, made.stderr
    request = json.loads(made.stdout)

    # The person, with a telephone that holds a key of theirs.
    holder = ECKey.generate_key("P-256")
    picture(json.dumps(holder.as_dict(private=False)), folder / "holder.png")
    scenario.write_text(
        'summary = "A person with a request and a telephone."\n'
        f"[codes]\nrequest = {json.dumps(request['files'])}\nholder_key = {json.dumps([str(folder / 'holder.png')])}\n"
    )
    with (folder / "services.log").open("wb") as log, SniffedServices(config, log) as services:
        kiosk = KioskClient(services.wait_ready(timeout=180))
        idle = kiosk.until("idle")
        assert idle["scan"], "the page offers to show a request"
        assert kiosk.post("/kiosk/scan") == 204
        consent = kiosk.until("consent")
        scanning = [view["guidance"] for view in kiosk.passed if view["view"] == "work"]
        assert kiosk.post("/kiosk/consent", id=consent["id"], token=consent["token"], given=True, proof=True) == 204
        result = kiosk.until("result")
        stages = list(dict.fromkeys(view["stage"] for view in kiosk.passed if view["view"] == "work"))
        photos = []
        for index in range(result["codes"][0]):
            path = folder / f"photo-{index}.png"
            cv2.imwrite(str(path), photographed(kiosk.code(result, "verdict", index), seed=index))
            photos += ["--qr", str(path)]
        proof = [kiosk.code(result, "proof", index) for index in range(result["codes"][1])]
        for index, svg in enumerate(proof):
            cv2.imwrite(str(folder / f"proof-{index}.png"), photographed(svg, seed=index))
        assert kiosk.post("/kiosk/done", id=result["id"], token=result["token"]) == 204
        assert kiosk.until("idle")["codes"] == [0, 0]

    # The relying party again, with nothing but the photographs.
    trust = ["--trust", str(folder / "root.pem"), "--audience", AUDIENCE, "--nonce", request["nonce"]]
    found = vouchbox("verify", *photos, *trust, "--allow-emulated", "--json")
    (folder / "result.json").write_text(
        json.dumps(
            {
                "party": consent["party"],
                "scanning": scanning,
                "stages": stages,
                "result": result["result"],
                "codes": result["codes"],
                "verify": found.stdout,
                "verify_error": found.stderr,
                "refused_without_allow": vouchbox("verify", *photos, *trust).returncode,
                "holder": holder.as_dict(private=True),
            }
        )
    )


if __name__ == "__main__":
    os.umask(0o077)
    main(Path(sys.argv[1]))
