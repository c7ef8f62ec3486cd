"""Heads of ledgers in tokens: every verdict and every signed statement says how long the ledger was, and its hash.

In: a token's file. Out: the `Head` that it names. Its signature is not checked here: a head that is in the chain was
the chain's, whoever says so, and one that is not is worth finding out about.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from device.errors import InputError
from device.jose import MAX_TOKEN
from device.notary.ledger import Head
from provisioning.files import read_limited


def head_of_token(path: Path) -> Head:
    """Raises `InputError` if the file holds no token with a `log` claim."""
    text = read_limited(path, MAX_TOKEN, "a verdict or a signed head").decode("ascii", errors="replace").strip()
    try:
        log = json.loads(_decode(text.split(".")[1]))["log"]
        head = Head(int(log["size"]), _decode(log["head"]))
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path} holds no token that names a ledger's head") from error
    if len(head.hash) != 32:
        raise InputError(f"{path} names a head that is no SHA-256")
    return head


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
