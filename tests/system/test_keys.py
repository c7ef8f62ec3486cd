"""Production keys where a box has them: in a TPM (swtpm, a service of the bottle's own), and sealed by systemd-creds.

The notary in its unit signs with them: not a verdict, since the emulated camera never gets the production key, but the
ledger's head, which it signs when it starts and when it stops.
"""

import base64
import json

import pytest

from tests.system.conftest import SERVICES, installed_bottle
from tests.system.test_failures import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(1500)]

TPM = """[Service]
ExecStart=/usr/bin/swtpm socket --tpm2 --tpmstate dir=/var/lib/tpm --flags not-need-init,startup-clear \
  --server type=unixio,path=/run/tpm/sock,mode=0660,gid=%GROUP% \
  --ctrl type=unixio,path=/run/tpm/sock.ctrl,mode=0660,gid=%GROUP%
StateDirectory=tpm
RuntimeDirectory=tpm
RuntimeDirectoryPreserve=yes
ExecStartPre=/bin/rm -f /run/tpm/sock /run/tpm/sock.ctrl
"""
TCTI = "swtpm:path=/run/tpm/sock"
HEADS = (
    "import sqlite3; d = sqlite3.connect('file:/var/lib/vouchbox/ledger.sqlite?mode=ro', uri=True);"
    "print(*[row[0] for row in d.execute('SELECT token FROM heads ORDER BY rowid')], sep='\\n')"
)
STICK = "/root/stick/request"


@pytest.fixture(scope="module")
def own(disk, bottle_folder):
    """A box that has never been anybody's production box, with an authority and a TPM beside it."""
    with installed_bottle(disk, bottle_folder / "keys", number=4) as made:
        made.wait_well()
        bottle = made.bottle
        tss = bottle.run("sh", "-c", "getent group tss | cut -d: -f3").output.strip()
        bottle.run("sh", "-c", f"cat > /etc/systemd/system/tpm.service <<'E'\n{TPM.replace('%GROUP%', tss)}E\n")
        # A box has its TPM at /dev/tpmrm0, which the unit names; this one's is a socket with the same owner and mode.
        drop_in = "/etc/systemd/system/vouchbox-notary.service.d"
        bottle.run("sh", "-c", f"mkdir -p {drop_in}; printf '[Service]\\nBindPaths=/run/tpm\\n' > {drop_in}/tpm.conf")
        bottle.run("systemctl", "daemon-reload")
        bottle.run("systemctl", "start", "tpm")
        options = (
            "--name",
            "Test organisation",
            "--issuer",
            "https://org.example",
            "--status-uri",
            "https://org.example/s",
        )
        bottle.run("vouchbox-provision", "authority", "create", "/root/authority", *options)
        yield made


def provision(own, *keystore):
    """Somebody's production box with its key there; the services start anew. Returns the key's id."""
    run = own.bottle.run
    run("vouchbox-provision", "wipe", "--yes")  # leaves a mark in the ledger: there is a head to sign
    run("vouchbox-provision", "init", "--name", "box-1", "--request", f"{STICK}.pem", *keystore)
    run("vouchbox-provision", "authority", "issue", "/root/authority", f"{STICK}.pem")
    enrolled = json.loads(run("vouchbox-provision", "enrol", "--bundle", f"{STICK}.bundle.json", "--json").output)
    run("systemctl", "restart", "tpm")  # the kernel's resource manager clears up after each program; swtpm has none
    own.start()
    own.wait_well()
    return enrolled["kid"]


def head_signed_by(own):
    """The id of the key that signed the newest head."""
    head = own.bottle.run("/opt/vouchbox/current/bin/python", "-c", HEADS).output.split()[-1]
    part = head.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["kid"]


def private_keys(own):
    """Files of the state folder that hold a private key in clear."""
    found = own.bottle.run("grep", "-rlE", "BEGIN (EC )?PRIVATE KEY", "/var/lib/vouchbox", check=False).output.split()
    return {path.rsplit("/", 1)[1] for path in found} - {"transport.pem"}


def test_the_notary_signs_with_the_tpm_and_says_when_it_is_gone(own):
    kid = provision(own, "--keystore", f"tpm:{TCTI}")
    until(lambda: head_signed_by(own) == kid, 20, "a head signed in the TPM")
    assert private_keys(own) == set()
    own.bottle.run("systemctl", "kill", "--signal=KILL", "tpm")
    until(lambda: own.health()[0] == 503, 30, "unwell")
    said = own.health()[1]
    print(f"without its TPM: {said}")
    assert (said["notary"]["status"], said["vision"]["status"]) == ("unwell", "well")
    own.bottle.run("systemctl", "restart", "tpm")
    own.wait_well()


@pytest.fixture(scope="module")
def sealed(own):
    """The same box with a key that systemd-creds sealed."""
    kid = provision(own, "--keystore", "sealed")
    until(lambda: head_signed_by(own) == kid, 20, "a head signed with the sealed key")
    return own


def test_a_sealed_key_is_opened_by_systemd_for_the_notary_alone(sealed):
    assert private_keys(sealed) == set()
    handed = "/run/credentials/vouchbox-notary.service/vouchbox-key"
    for service in SERVICES:
        inside = ["nsenter", f"--target={sealed.bottle.main_pid(f'vouchbox-{service}')}", "--mount"]
        as_service = ["setpriv", f"--reuid=vouchbox-{service}", "--clear-groups"]
        read = sealed.bottle.run(*inside, *as_service, "cat", handed, check=False)
        assert (read.code == 0) == (service == "notary"), service


def test_a_sealed_key_is_worth_nothing_in_another_machine(sealed):
    """The disk is the same, the machine's secret another one."""
    sealed.bottle.run("mv", "/var/lib/systemd/credential.secret", "/root/secret")
    sealed.bottle.run("systemd-creds", "setup")
    sealed.bottle.run("systemctl", "restart", "vouchbox-notary", check=False)
    until(lambda: sealed.health()[0] == 503, 30, "unwell")
    print(f"in another machine: {sealed.bottle.state('vouchbox-notary', 'Result')}, {sealed.health()[1]}")
    assert sealed.bottle.state("vouchbox-notary", "SubState") != "running"
    sealed.bottle.run("mv", "/root/secret", "/var/lib/systemd/credential.secret")
    sealed.wait_well()
