"""How this box was enrolled, so that it can be renewed the same way; and asking for certificates over the network.

In: the ways that the technician named. Out: a bundle from the service; a note of the way, without any secret.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from device.errors import ConfigurationError
from provisioning.box import REQUEST_FILE, BoxFolder
from provisioning.bundle import Bundle, parse_bundle
from provisioning.est import EstClient, PendingError, Service
from provisioning.files import write_atomic
from provisioning.ownership import NOTARY, acting_as

NOTE: Final = "enrolment.json"
MOST_SECONDS: Final = 60
"""A service may ask for more patience than a technician has."""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """`kind` is `file`, `est` (a credential of the service's own) or `code` (one-time, or approved by hand)."""

    kind: str
    url: str = ""
    ca: str = ""
    fingerprint: str = ""
    username: str = ""
    client: str = ""

    @property
    def service(self) -> Service:
        return Service(self.url, self.ca, self.fingerprint, self.client)


def ask_service(way: Way, folder: Path, authorization: str, *, again: bool = False) -> Bundle:
    """The bundle for the request in `folder`. Raises as `EstClient.enrol` does, and `InputError`."""
    with acting_as(NOTARY):
        request = (folder / REQUEST_FILE).read_bytes()
    return parse_bundle(EstClient(way.service, authorization).enrol(request, again=again))


def ask_until_answered(ask: Callable[[], Bundle], say: Callable[[str], object]) -> Bundle:
    """Asks again for as long as the service wants time (RFC 7030 section 4.2.3). `say` hears why, once."""
    told = ""
    while True:
        try:
            return ask()
        except PendingError as error:
            if str(error) != told:
                told = str(error)
                say(told)
            time.sleep(min(max(error.seconds, 1), MOST_SECONDS))


def keep_way(box: BoxFolder, way: Way) -> None:
    """Remembers the way."""
    write_atomic(box.notes / NOTE, msgspec.json.encode(way))


def load_way(box: BoxFolder) -> Way:
    """The way this box was enrolled; by file if nothing is known."""
    path = box.notes / NOTE
    if not path.exists():
        return Way(kind="file")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Way)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read ({error}); enrol the box again") from error
