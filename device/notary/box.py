"""Which box this is: its permanent identity and its hardware, as EAT names them (RFC 9711 sections 4.2.1 and 4.2.3).

In: the configuration. Out: a `Box`. The UEID is made once, at random, and kept in the state folder: it names the box
and tells nothing about it.
"""

from __future__ import annotations

import platform
import secrets
from pathlib import Path
from typing import Final

from device.config import Config
from device.errors import ConfigurationError
from device.notary.keystore.file import read_private, write_private
from device.notary.verdict import Box

_UEID_RANDOM: Final = b"\x01"  # type RAND: that many random octets follow
_RANDOM_BYTES: Final = 16
_MODEL_FILES: Final = (Path("/proc/device-tree/model"), Path("/sys/class/dmi/id/product_name"))


def load_box(config: Config) -> Box:
    """Raises `ConfigurationError` if the identity cannot be kept, `KeyStoreError` if somebody else has it."""
    path = config.state / "ueid"
    try:
        write_private(path, _UEID_RANDOM + secrets.token_bytes(_RANDOM_BYTES))
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {path} ({error.strerror}); box.state must be a folder of ours"
        ) from error
    ueid = read_private(path)
    if len(ueid) != 1 + _RANDOM_BYTES or not ueid.startswith(_UEID_RANDOM):
        raise ConfigurationError(f"{path} is not a UEID; restore it, or delete it and enrol the box anew")
    return Box(issuer=config.notary.issuer, ueid=ueid, hardware=_hardware())


def _hardware() -> str:
    for path in _MODEL_FILES:
        try:
            text = path.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
        except OSError:
            continue
        if text:
            return text[:64]
    return platform.machine() or "unknown"
