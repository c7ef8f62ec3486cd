"""A key in a file that systemd-creds has sealed: to the TPM where there is one, else to this machine's own secret.

In: a folder with `key.cred` and `chain.pem`. Out: a `KeyStore`. The notary never unseals anything: systemd does, when
it starts the unit (`LoadCredentialEncrypted=`), and hands the key over in memory that is not swapped. The technician's
tool, which signs renewals as root, asks `systemd-creds` itself.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from device.errors import KeyStoreError
from device.notary.keystore.file import FileKeyStore, check_private

KEY_FILE: Final = "key.cred"
CREDENTIAL: Final = "vouchbox-key"
"""Its name in the notary's unit; systemd-creds seals a name into a credential, so that none stands in for another."""
_NOT_THERE: Final = b"none"
"""What the unit hands over where systemd found no sealed key (`SetCredential=`)."""
_PATIENCE: Final = 30.0


class SealedKeyStore(FileKeyStore):
    """Reads the key when it is first needed and keeps it in memory. See the module's text."""

    @property
    def description(self) -> str:
        return f"sealed {self.purpose} key in {self._folder}"

    def _secret(self) -> bytes:
        handed = os.environ.get("CREDENTIALS_DIRECTORY")
        if not handed:
            return unseal(self._folder / KEY_FILE)
        try:
            key = (Path(handed) / CREDENTIAL).read_bytes()
        except OSError as error:
            raise KeyStoreError(f"{self.description}: systemd did not hand it over ({error.strerror})") from error
        if key == _NOT_THERE:
            raise KeyStoreError(f"{self.description} was not there when the notary started; enrol the box, restart it")
        return key

    def _probe(self) -> None:
        check_private(self._folder / KEY_FILE)


def seal(key: bytes) -> bytes:
    """`key` as only this machine (its TPM, if it has one) can read it again. Root only. Raises `KeyStoreError`."""
    return _systemd_creds("encrypt", "-", key)


def unseal(path: Path) -> bytes:
    """What `seal` sealed. Root only. Raises `KeyStoreError`."""
    check_private(path)
    return _systemd_creds("decrypt", str(path), b"")


def _systemd_creds(action: str, source: str, data: bytes) -> bytes:
    command = ["systemd-creds", action, f"--name={CREDENTIAL}", source, "-"]
    # The technician's tool writes the notary's files as the notary; the machine's secret is root's.
    user = 0 if os.getuid() == 0 else None
    try:
        ended = subprocess.run(  # noqa: S603
            command, input=data, capture_output=True, user=user, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise KeyStoreError(f"a sealed key needs systemd-creds (systemd 250 or later): {error}") from error
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace").strip().splitlines()
        raise KeyStoreError(f"systemd-creds does not {action} the key: {said[-1] if said else ended.returncode}")
    return ended.stdout
