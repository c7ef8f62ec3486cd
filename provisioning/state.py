"""What a box is, in facts: for `status`, for the support bundle, for a fleet that asks.

In: a box. Out: a flat dictionary, nothing secret and nothing personal; the same as ten lines for a person.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from device import __version__
from device.certificates import b64url, key_id
from device.errors import VouchboxError
from device.notary.ledger import verify_ledger
from device.notary.policy import load_policies
from device.notary.seal import require_seal
from device.vision.inference.install import State, listing
from device.vision.inference.manifest import load_manifest
from provisioning.box import BoxFolder
from provisioning.initialise import box_name
from provisioning.ownership import NOTARY, acting_as
from provisioning.relying_parties import PartiesFile
from provisioning.selftest.report import load_report
from provisioning.units import active_units


def facts_of(box: BoxFolder) -> dict[str, Any]:
    """Everything; what cannot be told is None, and `problems` says why."""
    problems: list[str] = []
    facts: dict[str, Any] = {
        "version": __version__,
        "stage": str(box.stage()),
        "name": box_name(box) if box.generations() else None,
        "issuer": box.config.notary.issuer,
        "keystore": box.config.notary.keystore,
        "camera": box.config.vision.camera,
        "policy_folder": box.config.notary.policies or None,
        "services": list(active_units()),
    }
    for part in (_key, _policies, _models, _parties, _ledger, _selftest):
        try:
            facts |= part(box)
        except VouchboxError as error:
            problems.append(str(error))
    facts["development_key"] = box.development.exists()
    sealed = box.config.sealed
    facts["sealed"] = None if sealed is None else {"time": sealed.time, "use": sealed.use, "accepted": sealed.accepted}
    problems += [facts["key_problem"]] if facts.get("key_problem") else []
    facts["problems"] = problems
    return facts


def _key(box: BoxFolder) -> dict[str, Any]:
    with acting_as(NOTARY):
        ueid_file = box.config.state / "ueid"
        ueid = ueid_file.read_bytes().hex() if ueid_file.exists() else None
        store = box.store()
        if store is None:
            return {"ueid": ueid, "kid": None, "expires": None, "key_problem": "", "renewal_waits": bool(box.waiting())}
        trouble = store.health()
        leaf = None if trouble and not box.current() else store.certificate_chain()[0]
        store.close()
    return {
        "ueid": ueid,
        "kid": key_id(leaf.public_key()) if leaf else None,  # type: ignore[arg-type]
        "expires": int(leaf.not_valid_after_utc.timestamp()) if leaf else None,
        "key_problem": trouble,
        "renewal_waits": bool(box.waiting()),
    }


def _policies(box: BoxFolder) -> dict[str, Any]:
    policies = load_policies(Path(box.config.notary.policies) if box.config.notary.policies else None)
    with acting_as(NOTARY):
        require_seal(box.config, policies, box.config.state / "ledger.sqlite")
    return {"policies": {name: policy.digest.hex() for name, policy in policies.items()}}


def _models(box: BoxFolder) -> dict[str, Any]:
    found = listing(load_manifest(box.config.state))
    return {
        "models": {one.entry.name: str(one.state) for one in found if one.state is State.OK or not one.entry.optional}
    }


def _parties(box: BoxFolder) -> dict[str, Any]:
    return {"relying_parties": [party.id for party in PartiesFile(box).all()]}


def _ledger(box: BoxFolder) -> dict[str, Any]:
    path = box.config.state / "ledger.sqlite"
    with acting_as(NOTARY):
        if not path.exists():
            return {"ledger": {"rows": 0, "head": None}}
        head = verify_ledger(path)
    return {"ledger": {"rows": head.size, "head": b64url(head.hash)}}


def _selftest(box: BoxFolder) -> dict[str, Any]:
    report = load_report(box.notes)
    if report is None:
        return {"selftest": None}
    failed = [finding.name for finding in report.findings if finding.result == "fail"]
    return {"selftest": {"time": report.time, "well": report.well, **report.counts(), "failed": failed}}


def lines_of(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Ten lines: a word and what there is to say."""
    models, sealed, test = facts.get("models") or {}, facts["sealed"], facts.get("selftest")
    missing = [name for name, state in models.items() if state != "ok"]
    ledger = facts.get("ledger") or {}
    return [
        ("box", f"{facts['name'] or 'no name yet'}, {facts['stage']}, vouchbox {facts['version']}"),
        ("identity", facts.get("ueid") or "none yet"),
        ("key", f"{facts['keystore']}; {_until(facts.get('expires'))}"),
        ("issuer", facts["issuer"]),
        ("camera", facts["camera"]),
        ("models", f"{len(models)} right" if not missing else f"not right: {', '.join(missing)}"),
        ("policies", ", ".join(facts.get("policies") or {}) + (" (frozen)" if sealed else "")),
        ("asked by", ", ".join(facts.get("relying_parties") or []) or "nobody yet"),
        ("ledger", f"{ledger.get('rows', '?')} rows, head {ledger.get('head') or '-'}"),
        ("self-test", _test_line(test, sealed)),
    ]


def _until(expires: int | None) -> str:
    return "no certificate" if expires is None else f"certificate until {_day(expires)}"


def _test_line(test: dict[str, Any] | None, sealed: dict[str, Any] | None) -> str:
    if test is None:
        return "none yet"
    words = f"{_day(test['time'])}: {test['pass']} pass, {test['fail']} fail, {test['not_performed']} not performed"
    return words + (f"; accepted: {', '.join(sealed['accepted']) or 'nothing'}" if sealed else "")


def _day(moment: int) -> str:
    return f"{datetime.datetime.fromtimestamp(moment, datetime.UTC):%Y-%m-%d}"
