"""`vouchbox request`: a relying party's signed request as a code, for a box that no network reaches.

In: the relying party's private key and what it asks for. Out: pictures of the codes or the codes on the terminal, and
on standard output the nonce that the verdict will answer. With `--new-key`: a key, and the public half for the box.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from pathlib import Path
from typing import Any, Final

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from device.codes import Kind, texts_of
from device.errors import InputError, VouchboxError
from device.notary.keystore.file import write_private
from device.notary.request import MAX_LIFETIME, SigningKey, make_request, within_bounds
from device.notary.requesters import public_pem
from device.qr import QUIET, blocks, modules

_SCALE: Final = 8  # pixels of a module in a picture


@click.command("request")
@click.option("--key", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Your private key (PEM).")
@click.option("--new-key", is_flag=True, help="Make that key; prints the public half, which the box has to be given.")
@click.option("--party", metavar="ID", help="The id under which the box knows your key.")
@click.option("--box", metavar="UEID", help="Which box: its `ueid`, as in every verdict and at /v1/device.")
@click.option("--audience", help="Who will read the verdict: its `aud`.")
@click.option("--policy", default="standard", show_default=True)
@click.option("--nonce", help="What the verdict has to answer; without it a fresh one.")
@click.option(
    "--minutes",
    default=60,
    show_default=True,
    type=click.IntRange(1, MAX_LIFETIME // 60),
    help="How long it holds.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A picture (PNG); several are numbered.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def request(
    key: Path,
    new_key: bool,
    party: str | None,
    box: str | None,
    audience: str | None,
    policy: str,
    nonce: str | None,
    minutes: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """A signed request as a code, for a box without a network."""
    try:
        if new_key:
            made = make_key(key)
            click.echo(json.dumps({"public_key": made}) if as_json else made.rstrip())
            return
        if not (party and box and audience):
            raise InputError("a request needs --party, --box and --audience")
        nonce = nonce or secrets.token_urlsafe(24)
        now = int(time.time())
        claims = {
            "iss": party,
            "aud": box,
            "iat": now,
            "exp": now + 60 * minutes,
            "nonce": nonce,
            "policy": policy,
            "audience": audience,
        }
        files = show(texts_of(Kind.REQUEST, make_request(read_key(key), within_bounds(claims))), out)
    except VouchboxError as error:
        click.echo(f"vouchbox request: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(json.dumps({"nonce": nonce, "expires": now + 60 * minutes, "files": files}) if as_json else nonce)


def make_key(path: Path) -> str:
    """Writes a new P-256 key that only this user can read; the public half, PEM. Raises `InputError`."""
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    except FileExistsError as error:
        raise InputError(f"{path} exists; a key is not written over") from error
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return public_pem(key.public_key())


def read_key(path: Path) -> SigningKey:
    """A P-256 or Ed25519 key. Raises `InputError`."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; --new-key makes a key") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"{path} is no unencrypted private key in PEM") from error
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise InputError(f"{path} is neither P-256 nor Ed25519")


def show(texts: list[str], out: Path | None) -> list[str]:
    """Draws the codes; the names of the pictures. Raises `InputError`."""
    if out is None:
        for number, text in enumerate(texts, 1):
            click.echo(blocks(text), err=True)
            if len(texts) > 1:
                click.echo(f"code {number} of {len(texts)}", err=True)
        return []
    names = [out] if len(texts) == 1 else [out.with_stem(f"{out.stem}-{n}") for n in range(1, len(texts) + 1)]
    for name, text in zip(names, texts, strict=True):
        _write_picture(name, text)
    return [str(name) for name in names]


def _write_picture(path: Path, text: str) -> None:
    import cv2
    import numpy as np

    dark = np.pad(np.array(modules(text)), QUIET)
    picture = np.kron(np.where(dark, 0, 255), np.ones((_SCALE, _SCALE), int)).astype(np.uint8)
    if not _written(cv2.imwrite, str(path), picture):
        raise InputError(f"cannot write {path}; a name that ends in .png, in a folder that is there")


def _written(write: Any, path: str, picture: Any) -> bool:
    try:
        return bool(write(path, picture))
    except Exception:  # noqa: BLE001 - OpenCV throws its own for a suffix that it does not know
        return False
