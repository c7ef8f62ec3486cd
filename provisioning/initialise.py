"""The first step on a bare box: its identity, its key in the best place there is, its certificate request.

In: a name, a camera, a key store. Out: the configuration file and the state folder with what the services need to
start. Run again with the same answers it changes nothing; with other answers it says what is there already.
"""

from __future__ import annotations

import secrets
import tomllib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from device.config import Config
from device.errors import ConfigurationError
from device.notary.box import load_box
from device.notary.keystore.pcrs import parse_pcrs
from device.notary.keystore.tpm import chosen_pcrs
from device.notary.pseudonym import KEY_BYTES
from provisioning.box import REQUEST_FILE, BoxFolder, Stage, change_config, require_unsealed
from provisioning.files import clear_parts, write_once
from provisioning.keymaking import best_keystore, new_generation
from provisioning.ownership import NOTARY, acting_as, give_to, service_users
from provisioning.request import check_name, parse_request

_UEID_RANDOM = b"\x01"  # RFC 9711 section 4.2.1: type RAND
_UEID_BYTES = 16


@dataclass(frozen=True)
class Initialised:
    """What the box is now. `changed` is False if it was that already."""

    name: str
    ueid: str
    keystore: str
    request: Path
    kid: str
    changed: bool


def initialise(
    box: BoxFolder, name: str, *, camera: str = "", keystore: str = "", state: str = "", pcrs: str = ""
) -> Initialised:
    """See the module's text.

    Args:
        box: may be bare.
        name: the box's name, in its certificate.
        camera: as `vision.camera` in the configuration; empty leaves what is there.
        keystore: as `notary.keystore`; empty leaves what is there, and takes the best on a bare box that names none.
        state: the state folder; empty leaves what is there.
        pcrs: registers that a new TPM key is bound to, as `0,2,7`; empty binds it to the TPM alone.

    Raises:
        ConfigurationError: the box is another one already, it is sealed with another camera, or something cannot be
            written.
        KeyStoreError: the key store refuses.
    """
    check_name(name)
    before = box
    if box.stage() is not Stage.BARE:
        _require_same(box, name, keystore, pcrs)
    if camera and camera != box.config.vision.camera:
        require_unsealed(box, "another camera")
    chosen = keystore or _keystore(box)
    if box.config.sealed is None:
        box = change_config(box, lambda config: _configured(config, camera, chosen, state))
    _folders(box)
    with acting_as(NOTARY):
        for place in (box.keys, *box.generations()):
            clear_parts(place)
        write_once(box.config.state / "ueid", _UEID_RANDOM + secrets.token_bytes(_UEID_BYTES))
        write_once(box.keys / "pseudonym.key", secrets.token_bytes(KEY_BYTES))
        ueid = load_box(box.config).ueid
        folder = box.waiting() or box.current() or new_generation(box, name, ueid, pcrs)
        request = parse_request((folder / REQUEST_FILE).read_bytes())
    changed = before.stage() is Stage.BARE or before.config != box.config
    return Initialised(name, ueid.hex(), box.config.notary.keystore, folder / REQUEST_FILE, request.kid, changed)


def box_name(box: BoxFolder) -> str:
    """The name in the newest request. Raises `ConfigurationError` on a bare box."""
    newest = box.generations()[-1:]
    if not newest:
        raise ConfigurationError("this box has no name yet: run `vouchbox-provision init` first")
    with acting_as(NOTARY):
        return parse_request((newest[0] / REQUEST_FILE).read_bytes()).name


def _require_same(box: BoxFolder, name: str, keystore: str, pcrs: str) -> None:
    known = box_name(box)
    if known != name:
        raise ConfigurationError(f"this box is {known!r} already; `vouchbox-provision wipe` makes it nobody's again")
    if keystore and keystore != box.config.notary.keystore:
        raise ConfigurationError(
            f"this box's key is in {box.config.notary.keystore!r} already; wipe it to begin with another key store"
        )
    if pcrs:
        with acting_as(NOTARY):
            bound = chosen_pcrs(box.generations()[-1])
        if bound != parse_pcrs(pcrs):
            raise ConfigurationError(
                f"this box's key is bound to {f'PCRs {bound}' if bound else 'no PCRs'}; wipe it to begin with others"
            )


def _keystore(box: BoxFolder) -> str:
    """What the box has or its configuration names; else the best: an installer writes a file that names none."""
    named = box.file.exists() and "keystore" in tomllib.loads(box.file.read_text(encoding="utf-8")).get("notary", {})
    return box.config.notary.keystore if named or box.stage() is not Stage.BARE else best_keystore()


def _configured(config: Config, camera: str, keystore: str, state: str) -> Config:
    ids = service_users()
    users = config.box.users or ((0, *ids) if ids else ())  # root asks after the box's health
    changed_camera = camera and camera != config.vision.camera
    return msgspec.structs.replace(
        config,
        box=msgspec.structs.replace(config.box, users=users, state=state or config.box.state),
        vision=msgspec.structs.replace(
            config.vision,
            camera=camera or config.vision.camera,
            camera_id="" if changed_camera else config.vision.camera_id,
        ),
        notary=msgspec.structs.replace(config.notary, keystore=keystore),
    )


def _folders(box: BoxFolder) -> None:
    try:
        box.config.state.mkdir(parents=True, exist_ok=True, mode=0o711)
        if not box.keys.is_dir():
            box.keys.mkdir(mode=0o700, exist_ok=True)
            give_to(box.keys, NOTARY)
        box.notes.mkdir(exist_ok=True, mode=0o755)
    except OSError as error:
        raise ConfigurationError(f"cannot make {error.filename}: {error.strerror}; run this as root") from error
