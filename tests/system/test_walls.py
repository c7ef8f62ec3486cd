"""No way out: what each process must not be able to do is tried for real inside its unit, and is refused.

The same attempts run in a control unit without a sandbox and succeed there, so that no refusal is an accident of
this machine. A kind of attempt that fails in the control too proves nothing, and the test says so by failing.
"""

import json
import re
import socket
import threading

import pytest

from tests.system.conftest import PYTHON, SERVICES
from tests.system.rootfs import REPOSITORY

pytestmark = [pytest.mark.system, pytest.mark.timeout(1500)]

PROBE = "/opt/vouchbox/probe.py"
OWN = {
    "vision": {"camera"},
    "notary": {"vision.sock", "notary.sock", "key", "ledger", "write /var/lib/vouchbox"},
    "gateway": {"notary.sock", "tls-key", "tokens"},
}
"""What a process is there for. Everything else is refused: note that the gateway, too, cannot call out."""


@pytest.fixture(scope="module")
def listener(box):
    """Somebody outside whom an escaped process could call."""
    with socket.create_server((box.bottle.host_address, 0)) as server:
        threading.Thread(target=_accept_all, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def _accept_all(server):
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


def unit_like(service: str, text: str) -> str:
    """The service's own unit, with the probe in its place; nothing of its walls is changed."""
    dropped = (
        "Type=",
        "NotifyAccess=",
        "Restart",
        "WatchdogSec=",
        "Requires=",
        "PartOf=",
        "WantedBy=",
        "After=",
        "Wants=",
    )
    kept = [line for line in text.splitlines() if not line.startswith(dropped)]
    return re.sub(r"ExecStart=.*", f"ExecStart={PYTHON} -I {PROBE} $ARGUMENTS\nType=oneshot", "\n".join(kept))


@pytest.fixture(scope="module")
def outcomes(box, listener):
    """What came of each attempt, by service and for the control."""
    box.wait_well()
    source = (REPOSITORY / "tests/system/probe.py").read_text()
    (box.bottle.root / PROBE.lstrip("/")).write_text(source)
    pids = {service: box.bottle.main_pid(f"vouchbox-{service}") for service in SERVICES}
    box.bottle.run("sh", "-c", ": > /dev/video0; chmod 666 /dev/video0")
    found = {}
    for name in (*SERVICES, "control"):
        victims = [str(pid) for service, pid in pids.items() if service != name]
        if name == "control":
            text = f"[Service]\nType=oneshot\nExecStart={PYTHON} -I {PROBE} $ARGUMENTS\n"
        else:
            text = unit_like(name, (REPOSITORY / f"systemd/vouchbox-{name}.service").read_text())
        arguments = " ".join([box.bottle.host_address, str(listener), *victims])
        text = text.replace("$ARGUMENTS", arguments)
        box.bottle.run("sh", "-c", f"cat > /run/systemd/system/probe-{name}.service <<'E'\n{text}\nE\n")
        box.bottle.run("systemctl", "daemon-reload")
        box.bottle.run("systemctl", "start", f"probe-{name}.service", timeout=120, check=False)
        said = [str(entry["MESSAGE"]) for entry in box.bottle.journal("-u", f"probe-{name}.service")]
        words = [line.removeprefix("PROBE ") for line in said if line.startswith("PROBE ")]
        assert words, f"the probe in {name} said nothing: {said}"
        found[name] = {re.sub(r"\d+$", _named(pids), key): value for key, value in json.loads(words[-1]).items()}
    box.bottle.run("rm", "-f", "/dev/video0", PROBE)
    return found


def _named(pids):
    names = {str(pid): service for service, pid in pids.items()}
    return lambda match: names.get(match[0], match[0])


def test_without_a_sandbox_every_attempt_succeeds(outcomes):
    failed = {name: outcome for name, outcome in outcomes["control"].items() if outcome != "ok"}
    print(f"control: {len(outcomes['control'])} attempts, {len(failed)} that prove nothing here: {failed}")
    # The kernel of this machine may lack a family or io_uring altogether; what it lacks cannot be a way out either.
    assert set(failed) <= {"vsock", "packet"}
    assert set(failed.values()) <= {"EAFNOSUPPORT"}


@pytest.mark.parametrize("service", SERVICES)
def test_inside_the_unit_everything_but_its_own_task_is_refused(outcomes, service):
    succeeded = {name for name, outcome in outcomes[service].items() if outcome == "ok"}
    print(f"{service}: {len(outcomes[service])} attempts, allowed: {sorted(succeeded)}")
    assert succeeded == OWN[service]
