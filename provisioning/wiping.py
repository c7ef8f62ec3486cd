"""Making a box nobody's again: keys, pseudonym key, identity, relying parties; models and ledger only if asked.

In: a box in any state. Out: a bare one. A ledger that stays is told first. Can be repeated until nothing is left.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from device.config import Config, NotaryConfig
from device.errors import KeyStoreError
from device.gateway.auth import relying_parties_file
from device.notary.ledger import Ledger
from device.notary.requesters import requesters_file
from device.notary.seal import Mark, append_mark, last_mark
from provisioning.box import BoxFolder, change_config
from provisioning.ownership import NOTARY, acting_as
from provisioning.sealing import without_seal
from provisioning.units import Run, run_command, services_stopped

_LEDGER_FILES = ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm")


def wipe(box: BoxFolder, *, ledger: bool, models: bool, run: Run = run_command) -> list[str]:
    """Returns what was destroyed, in words; empty if there was nothing left.

    Args:
        box: any.
        ledger: the ledger goes too; otherwise it keeps a mark that the box was wiped.
        models: installed models go too.
        run: how commands are run.

    Raises:
        KeyStoreError: a token does not let go of its key; what came before is gone, and this can be run again.
        LedgerError: a ledger that is to stay cannot be written; nothing was destroyed.
    """
    done: list[str] = []
    with services_stopped(box.config, run, again=False):
        if not ledger:
            _mark_ledger(box)
        with acting_as(NOTARY):
            done += _keys(box)
            done += _files("identity", [box.config.state / "ueid"])
            if ledger:
                done += _files("ledger", [box.config.state / name for name in _LEDGER_FILES])
        done += _files("relying parties", [relying_parties_file(box.config), requesters_file(box.config)])
        done += _folder("notes", box.notes)
        if models:
            done += _folder("models", box.config.state / "models")
        if box.file.exists():
            change_config(box, _anonymous)
    return done


def _mark_ledger(box: BoxFolder) -> None:
    path = box.config.state / "ledger.sqlite"
    with acting_as(NOTARY):
        mark = last_mark(path)
        if not path.exists() or not (box.generations() or box.development.exists() or box.config.sealed):
            return
        if mark is not None and mark[0] is Mark.WIPED:
            return
        open_ledger = Ledger(path)
        try:
            append_mark(open_ledger, Mark.WIPED, b"", "")
        finally:
            open_ledger.close()


def _keys(box: BoxFolder) -> list[str]:
    if not box.keys.is_dir():
        return []
    had = any(box.keys.iterdir())
    if box.config.notary.keystore.startswith("pkcs11:") and box.generations():
        from device.notary.keystore.pkcs11 import destroy_pkcs11_key, parse_uri

        destroy_pkcs11_key(parse_uri(box.config.notary.keystore))
    for secret in [*box.keys.glob("*/*.pem"), box.keys / "pseudonym.key"]:
        if secret.name != "request.pem":
            secret.unlink(missing_ok=True)
    for left in list(box.keys.iterdir()):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()
    if any(box.keys.iterdir()):
        raise KeyStoreError(f"{box.keys} could not be emptied")
    return ["keys"] if had else []


def _files(what: str, paths: list[Path]) -> list[str]:
    there = [path for path in paths if path.exists()]
    for path in there:
        path.unlink()
    return [what] if there else []


def _folder(what: str, path: Path) -> list[str]:
    if not path.is_dir() or not any(path.iterdir()):
        return []
    for left in path.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()
    return [what]


def _anonymous(config: Config) -> Config:
    return msgspec.structs.replace(
        without_seal(config),
        vision=msgspec.structs.replace(config.vision, camera_id=""),
        notary=msgspec.structs.replace(config.notary, issuer=NotaryConfig().issuer),
    )
