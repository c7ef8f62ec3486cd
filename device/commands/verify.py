"""`vouchbox verify`: offline verification of a verdict.

In: a token (or `-` for standard input), the organisation's root, the audience and nonce that were asked with.
Out: one line, or with `--json` `{"valid", "reason", "claims"}`. Exit 0 only if valid, 1 if not, 2 for bad input.
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

import click
from cryptography import x509

from device.errors import InputError, VouchboxError
from device.jose import MAX_TOKEN
from device.status_list import MAX_FILE, StatusList, read_status_list
from device.verify import Reason, verify_verdict

EXPLANATIONS = {
    Reason.MALFORMED: "this is not a signed token",
    Reason.ALGORITHM_NOT_ALLOWED: "the signature algorithm is neither ES256 nor EdDSA",
    Reason.TYPE_WRONG: "this token is something other than a verdict",
    Reason.CERTIFICATE_MISSING: "the token carries no certificate",
    Reason.CERTIFICATE_MALFORMED: "the token's certificates cannot be read",
    Reason.LEAF_NOT_ALLOWED: "the key that signed is not allowed to sign verdicts",
    Reason.LEAF_EXPIRED: "the box's certificate has expired",
    Reason.LEAF_NOT_YET_VALID: "the box's certificate is not valid yet",
    Reason.CHAIN_UNTRUSTED: "the box's certificate does not lead to a root that you trust",
    Reason.STATUS_UNKNOWN: "the status list does not tell of the box's certificate: it is another list, or too old",
    Reason.REVOKED: "the box's certificate, or that of who issued it, has been revoked",
    Reason.SIGNATURE_WRONG: "the signature is wrong: something was changed",
    Reason.PROFILE_UNKNOWN: "the verdict has a version that this program does not know",
    Reason.CLAIMS_MALFORMED: "the verdict lacks a claim, or has one of the wrong kind",
    Reason.AUDIENCE_WRONG: "the verdict is for another relying party",
    Reason.NONCE_WRONG: "the verdict answers another question (nonce)",
    Reason.EXPIRED: "the verdict has expired",
    Reason.NOT_YET_VALID: "the verdict is from the future: compare the clocks",
    Reason.EMULATED: "no camera looked: the verdict is of an emulated one (--allow-emulated accepts it)",
    Reason.DEVELOPMENT: "a development key signed (--allow-emulated accepts it)",
    Reason.CONTRADICTORY: "the verdict says what its key may not say: treat the box as compromised",
}


@click.command("verify")
@click.argument("token", required=False)
@click.option("--qr", "photos", multiple=True, metavar="PHOTO", help="Read the token from a picture of its codes.")
@click.option("--trust", required=True, metavar="ROOT.PEM", help="The organisation's root certificate(s).")
@click.option("--audience", required=True, help="The audience that you asked with.")
@click.option("--nonce", required=True, help="The nonce that you asked with.")
@click.option("--status-list", metavar="FILE", help="The organisation's status list: revoked boxes are then refused.")
@click.option("--allow-emulated", is_flag=True, help="Accept development keys and emulated cameras. Not in production.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def verify(
    token: str | None,
    photos: tuple[str, ...],
    trust: str,
    audience: str,
    nonce: str,
    *,
    status_list: str | None,
    allow_emulated: bool,
    as_json: bool,
) -> None:
    """Verify a verdict offline. TOKEN is the token, a file that holds it, or - for standard input."""
    if (token is None) == (not photos):
        raise click.UsageError("give the token, or with --qr the pictures of its codes")
    try:
        text = read_token(token) if token is not None else read_photos(photos)
        roots = read_roots(Path(trust))
        statuses = None if status_list is None else read_statuses(Path(status_list), roots)
    except VouchboxError as error:
        click.echo(f"vouchbox verify: {error}", err=True)
        sys.exit(error.exit_code)
    found = verify_verdict(
        text,
        trust=roots,
        expected_audience=audience,
        expected_nonce=nonce,
        allow_emulated=allow_emulated,
        status_list=statuses,
    )
    if as_json:
        click.echo(json.dumps({"valid": found.valid, "reason": found.reason, "claims": found.claims}))
    elif found.claims is not None and found.valid:
        click.echo(
            f"valid: {found.claims['verdict']} (policy {found.claims['policy']}, camera {found.claims['camera']})"
        )
    elif found.reason is not None:
        click.echo(f"not valid: {EXPLANATIONS[found.reason]} [{found.reason}]")
    sys.exit(0 if found.valid else 1)


def read_token(argument: str) -> str:
    """The token itself, from standard input, or from a file of that name. Raises `InputError`."""
    path = Path(argument)
    if argument == "-":
        text = sys.stdin.buffer.read(MAX_TOKEN + 2).decode("ascii", "replace")
    elif argument.count(".") >= 2 and "/" not in argument and not _is_file(path):
        text = argument
    else:
        try:
            if path.stat().st_size > MAX_TOKEN + 2:
                raise InputError(f"{path} is too large to be a verdict; give the token itself, its file, or -")
            text = path.read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise InputError(f"{argument[:80]!r} is neither a token nor a readable file that holds one") from error
    if not text.strip():
        raise InputError("the token is empty; give the token itself, its file, or - for standard input")
    return text.strip()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a token is too long for a file's name
        return False


def read_photos(photos: tuple[str, ...]) -> str:
    """The token in pictures of its codes, one or several to a picture, in any order. Raises `InputError`."""
    from device.codes import Kind, token_from
    from device.vision.document.barcode import read_barcodes
    from device.vision.stills import load_still

    found = [code.data for photo in photos for code in read_barcodes(load_still(photo))]
    return token_from(Kind.VERDICT, [data.decode("ascii", "replace") for data in found])


def read_roots(path: Path) -> list[x509.Certificate]:
    """The PEM certificates of a file. Raises `InputError`."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; --trust wants the organisation's root (PEM)"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} holds no PEM certificate; --trust wants the organisation's root") from error


def read_statuses(path: Path, roots: list[x509.Certificate]) -> StatusList:
    """The status list in a file, its signature and dates checked. Raises `InputError`."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise InputError(f"{path} is too large to be a status list")
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}; --status-list wants the organisation's status list (a JWT)") from error
    found, trouble = read_status_list(text, roots, datetime.datetime.now(datetime.UTC))
    if found is None:
        raise InputError(f"{path} is not a status list to rely on: {trouble}")
    return found
