"""The notary service: listens for gateways, runs one verification at a time, signs, keeps the ledger.

In: a configuration. Out: answers on the notary socket, until SIGTERM. One thread a connection, since there are few and
each mostly waits; one verification at a time, since there is one camera. On SIGTERM a running verification
ends in an inconclusive verdict, or without one if the person had not agreed yet; then the process ends.
"""

from __future__ import annotations

import argparse
import logging
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Final

from device.channel import Channel, listen, require_peer
from device.config import Config, load_config
from device.errors import KeyStoreError, LedgerError, PeerError, VouchboxError
from device.logs import set_up_logging
from device.notary.admission import Office, RefusedError
from device.notary.box import load_box
from device.notary.document_seal import load_seal_anchors
from device.notary.facts import device_facts, health_of
from device.notary.keys import open_keys
from device.notary.ledger import Ledger
from device.notary.policy import load_policies
from device.notary.pseudonym import load_pseudonym_key
from device.notary.request import UsedRequests
from device.notary.scan import SCAN_SECONDS, GatewayGoneError, NotShownError, request_from_code
from device.notary.seal import require_seal
from device.notary.stop import Stop
from device.notary.verdict import sign_head
from device.notary.verification import Verification
from device.notary.vision_link import VisionLink
from device.protocol import (
    FROM_GATEWAY,
    GATEWAY_REQUESTS,
    TO_GATEWAY,
    AskDevice,
    AskHealth,
    Ended,
    OpenByCode,
    OpenVerification,
    Outcome,
    Refusal,
    Refused,
)
from device.supervision import Supervisor

log = logging.getLogger(__name__)

HEAD_SECONDS: Final = 3600.0
"""How often the ledger's head is signed, if it has moved."""
_REQUEST_PATIENCE: Final = 10.0
_MAX_CONNECTIONS: Final = 64
_RETRY_AFTER: Final = 10  # seconds; a sensible pause before asking again for what is out of order
_BUSY_RETRY: Final = 30  # seconds; most verifications are over long before their limits
_STOP_PATIENCE: Final = 20.0
_OVERDUE: Final = 30.0
"""Seconds beyond its own limits after which a verification counts as stuck (a key store that never answers)."""
_TURN: Final = 30.0
"""Seconds that the loop waits for a gateway; under a watchdog it comes round sooner."""


class Notary:
    """The running service.

    Args:
        config: the box's configuration.
        stop: ends `run`.
        supervisor: hears that the service is ready and alive.

    Raises:
        VouchboxError: a policy, the ledger, or the identity cannot be used; says what to do.
    """

    def __init__(self, config: Config, stop: Stop, supervisor: Supervisor | None = None) -> None:
        self._supervisor = supervisor or Supervisor()
        policies = load_policies(Path(config.notary.policies) if config.notary.policies else None)
        require_seal(config, policies, config.state / "ledger.sqlite")
        self._office = Office(
            config=config,
            policies=policies,
            keys=open_keys(config),
            ledger=Ledger(config.state / "ledger.sqlite"),
            box=load_box(config),
            pseudonym_key=load_pseudonym_key(config.state),
            vision=VisionLink(config.vision_socket, config.allowed_users),
            stop=stop,
            used_requests=UsedRequests(config.state / "used-requests.sqlite"),
            seal_anchors=load_seal_anchors(Path(config.notary.seal_anchors or config.state / "seal-anchors")),
        )
        self._camera = threading.Lock()
        self._busy_until = 0.0
        self._threads: list[threading.Thread] = []
        self._head_due = 0.0
        self._head_signed = 0

    def run(self) -> None:
        """Until stopped. Raises `PeerError` if the socket cannot be made."""
        office = self._office
        for store in office.keys.stores:
            if trouble := store.health():
                log.error("%s", trouble)
        with listen(office.config.notary_socket) as listener:
            log.info("listening at %s", office.config.notary_socket)
            office.vision.probe_if_stale()
            self._supervisor.ready()
            while not office.stop.is_set:
                self._sign_head_if_due()
                waiting: list[socket.socket | Stop] = [listener, office.stop]
                if listener in select.select(waiting, [], [], self._supervisor.patience(_TURN))[0]:
                    self._accept(listener)
                if not self._stuck():
                    self._supervisor.alive()
        self._supervisor.stopping()
        self._close()

    def _stuck(self) -> bool:
        return self._camera.locked() and time.monotonic() > self._busy_until + _OVERDUE

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if len(self._threads) >= _MAX_CONNECTIONS:
            log.error("more than %d connections at once; this one is closed", _MAX_CONNECTIONS)
            connection.close()
            return
        thread = threading.Thread(target=self._serve, args=(connection,), name="gateway", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            require_peer(connection, self._office.config.allowed_users)
            with Channel(connection, decoder=GATEWAY_REQUESTS, incoming=FROM_GATEWAY, outgoing=TO_GATEWAY) as gateway:
                self._answer(gateway)
        except PeerError as error:
            log.info("a gateway's connection ended: %s", error)
        except VouchboxError as error:
            log.error("%s", error)
        except Exception:
            log.exception("a mistake in the notary; the connection is closed")

    def _answer(self, gateway: Channel) -> None:
        request = gateway.receive(_REQUEST_PATIENCE)
        if isinstance(request, AskHealth):
            busy = self._camera.locked()
            if not busy:
                self._office.vision.probe_if_stale()
            gateway.send(health_of(self._office, busy=busy))
        elif isinstance(request, AskDevice):
            for fact in device_facts(self._office):
                gateway.send(fact)
        elif isinstance(request, OpenVerification | OpenByCode):
            self._verify(request, gateway)

    def _verify(self, request: OpenVerification | OpenByCode, gateway: Channel) -> None:
        if not self._camera.acquire(blocking=False):
            left = int(self._busy_until - time.monotonic())
            gateway.send(Refused(Refusal.BUSY, max(1, min(_BUSY_RETRY, left))))
            return
        last_word: Ended | Refused | None
        try:
            shown = None
            if isinstance(request, OpenByCode):
                self._busy_until = time.monotonic() + SCAN_SECONDS
                shown = request_from_code(self._office, gateway)
                request = shown.order
            verification = Verification(self._office, request, gateway, shown)
            self._busy_until = time.monotonic() + verification.longest
            last_word = verification.run()
        except NotShownError as unseen:
            last_word = Ended(Outcome.INCONCLUSIVE, unseen.reason)
        except GatewayGoneError:
            last_word = None
        except RefusedError as refused:
            log.warning("verification refused (%s): %s", refused.refusal, refused)
            lasting = refused.refusal in (Refusal.POLICY_UNKNOWN, Refusal.CONSENT_METHOD)
            last_word = Refused(refused.refusal, 0 if lasting else _RETRY_AFTER)
        finally:
            self._camera.release()
        if last_word is not None:  # said only now: whoever hears it may open the next one at once
            gateway.send(last_word)

    def _sign_head_if_due(self) -> None:
        """On a schedule: a statement of the ledger's head that can be kept elsewhere and held against the box."""
        if time.monotonic() >= self._head_due:
            self._head_due = time.monotonic() + HEAD_SECONDS
            self._sign_head()

    def _sign_head(self) -> None:
        office = self._office
        head = office.ledger.head
        if head.size == self._head_signed or not office.keys.stores:
            return
        try:
            office.ledger.record_head(head, sign_head(head, office.box, office.keys.stores[0], int(time.time())))
            self._head_signed = head.size
        except (KeyStoreError, LedgerError) as error:
            log.error("the ledger's head was not signed: %s", error)

    def _close(self) -> None:
        deadline = time.monotonic() + _STOP_PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._sign_head()
        self._office.ledger.close()
        for store in self._office.keys.stores:
            store.close()
        log.info("stopped")


def run(config: Config, stop: Stop | None = None) -> int:
    """The service with a given configuration, until `stop` or a signal. Returns the exit code."""
    try:
        notary = Notary(config, stop or _stop_on_signals())
        notary.run()
    except VouchboxError as error:
        log.error("%s", error)
        return error.exit_code
    return 0


def _stop_on_signals() -> Stop:
    stop = Stop()

    def on_signal(_number: int, _frame: object) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def main(arguments: list[str] | None = None) -> int:
    """`vouchbox notary`: see the module's text."""
    parser = argparse.ArgumentParser(prog="vouchbox notary", description=__doc__)
    parser.add_argument("--config", type=Path)
    options = parser.parse_args(arguments)
    set_up_logging("notary")
    try:
        config = load_config(options.config)
    except VouchboxError as error:
        log.error("%s", error)
        return error.exit_code
    return run(config)


if __name__ == "__main__":
    sys.exit(main())
