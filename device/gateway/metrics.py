"""What operators may count: Prometheus metrics without anything about a person.

In: changes of verifications, answers given, and the health of the processes at the moment of asking. Out: the text
format. No label holds an id, an address or a relying party's name.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from device.gateway.snapshot import Snapshot
from device.gateway.verifications import Verification
from device.gateway.wire import Condition, HealthReport, State

MEDIA_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
STAGE_BUCKETS: Final = (1, 2, 3, 5, 8, 12, 18, 25, 40, 60, 120)
ANSWER_BUCKETS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)


class Metrics:
    """One registry of its own, so that several gateways in one process (the tests) do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._ended = Counter(
            "vouchbox_verifications",
            "Verifications that have ended, by outcome (or cancelled, failed) and reason",
            ["outcome", "reason"],
            registry=self.registry,
        )
        self._stages = Histogram(
            "vouchbox_stage_seconds", "How long stages took", ["stage"], buckets=STAGE_BUCKETS, registry=self.registry
        )
        self._answers = Histogram(
            "vouchbox_http_seconds",
            "How long answers took (event streams excluded), by call and status",
            ["call", "status"],
            buckets=ANSWER_BUCKETS,
            registry=self.registry,
        )
        self._well = Gauge("vouchbox_process_well", "1 if the process is well", ["process"], registry=self.registry)
        self._busy = Gauge("vouchbox_busy", "1 while a verification runs", registry=self.registry)
        self._streams = Gauge("vouchbox_event_streams", "Open event streams", registry=self.registry)

    def changed(self, _verification: Verification, old: Snapshot, new: Snapshot) -> None:
        """A `Watcher`."""
        if new.stage is not old.stage:
            self._stages.labels(old.stage.value).observe(max(0.0, new.since - old.since))
        if old.open and not new.open:
            outcome = new.outcome.value if new.outcome and new.state is State.FINISHED else new.state.value
            reason = new.reason.value if new.reason else (new.failure.slug if new.failure else "")
            self._ended.labels(outcome, reason).inc()

    def answered(self, call: str, status: int, seconds: float) -> None:
        """An answer was given. `call` is a route, never an address with an id in it."""
        self._answers.labels(call, str(status)).observe(seconds)

    def text(self, health: HealthReport, streams: int) -> bytes:
        """Everything, in the text format."""
        for name in ("gateway", "notary", "vision"):
            self._well.labels(name).set(getattr(health, name).status is Condition.WELL)
        self._busy.set(health.busy)
        self._streams.set(streams)
        return generate_latest(self.registry)
