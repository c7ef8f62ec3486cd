"""What the notary tells about the box and about its own state; nothing about any person.

In: the running notary's `Office`. Out: `Key`, `Measurement` and `PolicyFact` messages closed by `End`; `Health`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from device.certificates import Purpose, der
from device.errors import KeyStoreError, LedgerError
from device.notary.admission import Office
from device.notary.requesters import requesters_file
from device.protocol import DeviceId, End, Health, Key, Measurement, PolicyFact

log = logging.getLogger(__name__)


def device_facts(office: Office) -> Iterator[DeviceId | Key | Measurement | PolicyFact | End]:
    """Which box, keys that work, the models that the last vision worker had loaded, the policies."""
    yield DeviceId(office.box.id)
    for store in office.keys.stores:
        try:
            chain = tuple(der(certificate) for certificate in store.certificate_chain())
            yield Key(store.kid, chain, store.purpose is Purpose.DEVELOPMENT)
        except KeyStoreError as error:
            log.error("%s", error)
    ready = office.vision.ready
    for name, digest in sorted(ready.measurements.items() if ready else ()):
        yield Measurement(f"model/{name}", digest)
    for policy in office.policies.values():
        yield Measurement(f"policy/{policy.name}", policy.digest)
    for policy in office.policies.values():
        yield policy.fact()
    yield End()


def health_of(office: Office, *, busy: bool) -> Health:
    """Trouble in words for the operator; an empty string is well."""
    vision = office.vision
    return Health(
        notary=_trouble(office)[:128],
        vision=vision.trouble[:128],
        ledger_rows=office.ledger.head.size,
        busy=busy,
        camera=vision.ready.camera if vision.ready else None,
        by_code=requesters_file(office.config).exists(),
    )


def _trouble(office: Office) -> str:
    try:
        office.ledger.check_writable()
    except LedgerError as error:
        return str(error)
    if not office.keys.stores:
        return "no key: enrol the box"
    # Only the key that would sign matters: a box in production may well have an outdated development key.
    return office.keys.stores[0].health()
