"""Simulates an organisation of many boxes: real certificates, the real registry, one status list; prints what it costs.

    python -m tests.scale.simulate [--boxes 100000] [--revoked 0.01] [--json]

Every box has its own key, identity and certificate (making the keys is the boxes' work and is not counted). What is
measured: CPU time of the authority, bytes of certificates and registry, bytes of the status list and the time that a
relying party needs to read it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import generate_latest

from device.certificates import der
from device.gateway.metrics import Metrics
from device.protocol import Stage
from device.status_list import read_status_list
from provisioning.office import Office, Settings, create_office
from provisioning.request import Request
from provisioning.status_list import sign_status_list

URI = "https://org.example/status-list"
BATCH = 1000


@dataclass
class Costs:
    """Bytes and CPU seconds."""

    boxes: int
    revoked: int
    issue_ms: float
    certificate_bytes: float
    chain_characters: int
    registry_bytes: int
    list_bytes: int
    list_sign_ms: float
    list_read_ms: float
    lookup_us: float
    wrong: int


def simulate(folder: Path, boxes: int, share: float, seed: int = 1) -> Costs:
    """Enrols `boxes`, revokes a share of them, makes the list, reads it as a relying party does, checks every place."""
    draw = random.Random(seed)
    create_office(folder / "authority", Settings(name="Scale", issuer="https://org.example", status_uri=URI), None)
    office = Office(folder / "authority")
    issue, sizes = enrol(office, boxes)
    gone = set(draw.sample(range(2, boxes + 2), round(boxes * share)))
    office.registry.revoke(sorted(gone), "simulated", int(time.time()))
    began = time.process_time()
    token = sign_status_list(office.signer(), URI, office.registry.revoked(), office.registry.size(), days=7)
    signed = time.process_time() - began
    root = x509.load_pem_x509_certificate((folder / "authority" / "root" / "chain.pem").read_bytes())
    began = time.process_time()
    found, trouble = read_status_list(token, [root], datetime.datetime.now(datetime.UTC))
    read = time.process_time() - began
    assert found is not None, trouble
    began = time.process_time()
    wrong = sum(bool(found.at(place)) != (place in gone) for place in range(boxes + 2))
    looked = time.process_time() - began
    chain = office.chain()
    office.close()
    registry = sum(path.stat().st_size for path in (folder / "authority").glob("registry*"))
    return Costs(
        boxes=boxes,
        revoked=len(gone),
        issue_ms=round(issue / boxes * 1000, 3),
        certificate_bytes=round(sizes / boxes, 1),
        chain_characters=round((sizes / boxes + sum(len(der(one)) for one in chain)) * 16 / 9),
        registry_bytes=registry,
        list_bytes=len(token),
        list_sign_ms=round(signed * 1000, 1),
        list_read_ms=round(read * 1000, 1),
        lookup_us=round(looked / (boxes + 2) * 1e6, 2),
        wrong=wrong,
    )


def enrol(office: Office, boxes: int) -> tuple[float, int]:
    """Issues to every box, in batches as a night's work would be. CPU seconds (keys apart), bytes of certificates."""
    seconds, total = 0.0, 0
    for start in range(0, boxes, BATCH):
        requests = [
            Request(f"box-{n:06}", f"01{n:032x}", ec.generate_private_key(ec.SECP256R1()).public_key(), None)
            for n in range(start, min(start + BATCH, boxes))
        ]
        began = time.process_time()
        total += sum(len(issued.der) for issued in office.issue_many(requests))
        seconds += time.process_time() - began
    return seconds, total


def series_of_a_box() -> int:
    """Lines of a box's `/metrics` once it has seen every stage, the usual calls and eight outcomes."""
    metrics = Metrics()
    for stage in Stage:
        metrics._stages.labels(stage.value).observe(1)
    for call in ("open", "status", "events", "verdict", "cancel", "healthz", "metrics", "kiosk", "device", "jwks"):
        metrics.answered(call, 200, 0.1)
    for call, status in (("open", 401), ("open", 409), ("verdict", 425), ("status", 404)):
        metrics.answered(call, status, 0.1)
    for outcome, reason in (
        ("verified", ""),
        *(("rejected", reason) for reason in ("face_mismatch", "presentation_attack", "challenge_ignored")),
        *(("inconclusive", reason) for reason in ("face_not_found", "person_left", "time_limit")),
        ("cancelled", ""),
    ):
        metrics._ended.labels(outcome, reason).inc()
    for process in ("gateway", "notary", "vision"):
        metrics._well.labels(process).set(1)
    return sum(not line.startswith("#") for line in generate_latest(metrics.registry).decode().splitlines())


def arithmetic(costs: Costs) -> dict[str, float]:
    """What follows for a year, from what was measured and from what a box is configured to do."""
    series = series_of_a_box()
    return {
        "metrics_series_of_a_box": series,
        "certificates_a_year": costs.boxes * 365 / (397 * 2 / 3),
        "status_list_megabytes_a_day_for_a_thousand_readers": costs.list_bytes * 1000 / 1e6,
        "metrics_series": costs.boxes * series,
        "metrics_samples_a_second": costs.boxes * series / 60,
        "ledger_heads_gigabytes_a_year_one_a_day": costs.boxes * 365 * (costs.chain_characters + 500) / 1e9,
    }


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boxes", type=int, default=100_000)
    parser.add_argument("--revoked", type=float, default=0.01)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vouchbox-scale-") as name:
        costs = simulate(Path(name), options.boxes, options.revoked)
    told = asdict(costs) | {name: round(value, 1) for name, value in arithmetic(costs).items()}
    print(json.dumps(told) if options.json else "\n".join(f"{name:52} {value:,}" for name, value in told.items()))


if __name__ == "__main__":
    main()
