"""The table of verifications of this gateway's life, and the table of idempotency keys.

In: a request of an authenticated relying party. Out: its `Verification`, or a `Problem`. Both tables are bounded in
number and in time; one relying party can neither see nor push out another's entries.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from device.gateway.auth import RelyingParty
from device.gateway.limits import Limits
from device.gateway.notary import NotaryClient
from device.gateway.problems import Kind, Problem
from device.gateway.verifications import BY_CODE, NOT_OPENED, Verification, Watcher
from device.protocol import OpenVerification

PUBLIC_ID: Final = re.compile(r"([0-9a-f]{8})-[A-Za-z0-9_-]{16,64}")
KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")


class Verifications:
    """Every verification that this gateway knows. An id is `<this start>-<the notary's id>`, so that an id from before
    a restart is recognised for what it is."""

    def __init__(self, notary: NotaryClient, limits: Limits, watcher: Watcher) -> None:
        self._notary, self._limits, self._watcher = notary, limits, watcher
        self._start = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._all: OrderedDict[str, Verification] = OrderedDict()

    def open(self, party: RelyingParty, request: OpenVerification) -> Verification:
        """Opens one with the notary.

        Raises:
            Problem: the notary refuses, or is not there; or the person before still has codes to photograph, which
                nobody could give them again.
        """
        before = self.newest()
        if before is not None and before.shows_codes:
            raise Problem(
                Kind.BUSY,
                "Somebody is still taking their result along.",
                retry_after=max(1, round(before.seconds_shown)),
            )
        channel, opened = self._notary.open(request)
        id = f"{self._start}-{opened.verification}"
        verification = Verification(id, party.id, party.name, request, opened, channel, self._watcher)
        self._add(verification)
        return verification

    def open_by_code(self) -> Verification:
        """Has the camera look for a request that the person shows. Nobody can ask about it over the API.

        Raises:
            Problem: the notary refuses, or is not there.
        """
        channel, progress = self._notary.open_by_code()
        id = f"{self._start}-{secrets.token_urlsafe(16)}"
        verification = Verification(id, "", "", BY_CODE, NOT_OPENED, channel, self._watcher)
        verification.show_progress(progress)
        self._add(verification)
        return verification

    def _add(self, verification: Verification) -> None:
        """From now on the page is about this one: what the others showed leaves the memory."""
        with self._lock:
            self._forget_old()
            others = list(self._all.values())
            self._all[verification.id] = verification
        for other in others:
            other.forget_tokens()
        verification.start()

    def get(self, party: RelyingParty, id: str) -> Verification:
        """Raises `Problem`: `not-found` (also for another party's), or `gateway-restarted`."""
        with self._lock:
            self._forget_old()
            verification = self._all.get(id)
        if verification is not None and verification.party == party.id:
            return verification
        known = PUBLIC_ID.fullmatch(id)
        if known and known[1] != self._start:
            raise Problem(
                Kind.GATEWAY_RESTARTED,
                "This verification was opened before the gateway last started; open a new one.",
                part="gateway",
            )
        raise Problem(
            Kind.NOT_FOUND,
            f"No such verification; one that has ended is kept for {self._limits.keep_seconds / 60:.0f} minutes.",
        )

    def newest(self) -> Verification | None:
        """The verification opened last: the one that the kiosk page is about."""
        with self._lock:
            self._forget_old()
            return next(reversed(self._all.values()), None)

    def close(self) -> None:
        """Cancels what is running."""
        with self._lock:
            running = [v for v in self._all.values() if v.snapshot.open]
        for verification in running:
            verification.cancel()

    def __len__(self) -> int:
        return len(self._all)

    def _forget_old(self) -> None:
        now = time.monotonic()
        ended = [v for v in self._all.values() if v.ended_at is not None]
        surplus = len(ended) - self._limits.keep_count
        for position, verification in enumerate(ended):
            if position < surplus or now - (verification.ended_at or now) > self._limits.keep_seconds:
                del self._all[verification.id]


@dataclass(frozen=True)
class Opening:
    """The answer to a request to open a verification, as it was given the first time."""

    location: str
    body: bytes


@dataclass
class _Entry:
    body: bytes  # SHA-256 of the request's body
    then: float
    answer: Opening | None = None


class IdempotencyKeys:
    """What each relying party's `Idempotency-Key`s have led to.

    Only a success is remembered: after a refusal (busy, notary gone) the same key may be tried again, and should be.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._lock = threading.Lock()
        self._parties: dict[str, OrderedDict[str, _Entry]] = {}

    def run(self, party: RelyingParty, key: str | None, body: bytes, action: Callable[[], Opening]) -> Opening:
        """The answer that `key` led to before, else `action()`, once.

        Raises:
            Problem: the key is malformed, was used with another body, or is being answered right now.
        """
        if key is None:
            return action()
        if not KEY.fullmatch(key):
            raise Problem(Kind.IDEMPOTENCY_KEY_MALFORMED, "1 to 128 visible ASCII characters, such as a UUID.")
        digest = hashlib.sha256(body).digest()
        with self._lock:
            entries = self._parties.setdefault(party.id, OrderedDict())
            self._forget_old(entries)
            entry = entries.get(key)
            if entry is None:
                entries[key] = entry = _Entry(digest, self._clock())
            elif entry.body != digest:
                raise Problem(Kind.IDEMPOTENCY_KEY_REUSED, "Make a new key for a new request.")
            elif entry.answer is None:
                raise Problem(Kind.IDEMPOTENCY_KEY_IN_USE, "Try again in a moment.", retry_after=1)
            else:
                return entry.answer
        try:
            entry.answer = action()
        except BaseException:
            with self._lock:
                entries.pop(key, None)
            raise
        return entry.answer

    def _forget_old(self, entries: OrderedDict[str, _Entry]) -> None:
        now = self._clock()
        while entries:
            oldest = next(iter(entries.values()))
            if len(entries) < self._limits.idempotency_keys and now - oldest.then <= self._limits.keep_seconds:
                return
            entries.popitem(last=False)
