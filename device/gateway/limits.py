"""How much anyone may ask of the gateway: one commented dataclass of limits, and token buckets that hold callers to it.

In: a key (a relying party, an address). Out: nothing, or `Problem` `rate-limited` with `Retry-After`.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from device.gateway.problems import Kind, Problem

MAX_BODY: Final = 16 * 1024
MAX_HEADER: Final = 8 * 1024
MAX_KEYS: Final = 4096  # buckets in memory; the least recently used is forgotten, which only ever favours a caller


@dataclass(frozen=True)
class Rate:
    """`burst` requests at once, then `per_second` on average."""

    per_second: float
    burst: int


@dataclass(frozen=True)
class Limits:
    """Everything that is bounded. The defaults suit one box and a few relying parties that poll twice a second."""

    address: Rate = Rate(200, 500)
    """Requests from one address (an IPv6 /64 counts as one), whoever it is."""
    party: Rate = Rate(100, 300)
    """Requests with one relying party's token."""
    opening: Rate = Rate(0.5, 20)
    """Verifications that one relying party opens or tries to open."""
    refused: Rate = Rate(2, 20)
    """Requests from one address with a wrong or missing token."""
    threads: int = 32
    """Requests answered at the same moment; more wait."""
    streams: int = 16
    """Event streams open at the same moment: each holds one of the threads."""
    streams_each: int = 4
    """Event streams open on one verification."""
    header_seconds: float = 10.0
    """A request that has not arrived as a whole by then is dropped."""
    keep_seconds: float = 900.0
    """A verification that has ended can be asked about for so long."""
    keep_count: int = 256
    """Ended verifications in memory."""
    idempotency_keys: int = 256
    """Idempotency keys remembered for each relying party, as long as a verification is."""
    heartbeat_seconds: float = 10.0
    """An event stream is never silent for longer."""


class Buckets:
    """Token buckets, one per key. Safe to use from many threads."""

    def __init__(self, rate: Rate, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._what, self._clock = rate, what, clock
        self._lock = threading.Lock()
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> None:
        """Takes one token of `key`'s bucket. Raises `Problem` `rate-limited` if there is none."""
        wait = self._wait(key)
        if wait > 0:
            raise Problem(
                Kind.RATE_LIMITED, f"too many {self._what}; wait {math.ceil(wait)} s", retry_after=math.ceil(wait)
            )

    def _wait(self, key: str) -> float:
        now = self._clock()
        with self._lock:
            level, then = self._levels.pop(key, (float(self._rate.burst), now))
            level = min(float(self._rate.burst), level + (now - then) * self._rate.per_second)
            wait = 0.0 if level >= 1 else (1 - level) / self._rate.per_second
            self._levels[key] = (level - 1 if wait == 0 else level, now)
            while len(self._levels) > MAX_KEYS:
                self._levels.popitem(last=False)
        return wait


def address_key(address: str) -> str:
    """Who an address counts as: an IPv4 address itself, an IPv6 address by its /64 (one host has all of it)."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def is_loopback(address: str) -> bool:
    """Whether a peer address is this machine's own."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback
