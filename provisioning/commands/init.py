"""`vouchbox-provision init`: see `provisioning.initialise`."""

from __future__ import annotations

import socket
from pathlib import Path

import click

from provisioning.box import open_box
from provisioning.codes import shown_code
from provisioning.commands.common import json_option, say
from provisioning.files import write_atomic
from provisioning.initialise import box_name, initialise


@click.command()
@click.option("--name", default="", help="The box's name, as its certificate will have it; else its host name.")
@click.option("--camera", default="", metavar="CAMERA", help="picamera2, v4l2:/dev/video0, gstreamer:PIPELINE …")
@click.option(
    "--keystore", default="", metavar="STORE", help="file, sealed, tpm, tpm:TCTI or a pkcs11: URI; else the best."
)
@click.option(
    "--pcrs",
    default="",
    metavar="N,N",
    help="Bind a TPM key to these PCRs as they are now: another boot, no signature.",
)
@click.option("--state", default="", metavar="FOLDER", help="State folder, if not /var/lib/vouchbox.")
@click.option(
    "--request",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Put a copy of the certificate request here (the stick).",
)
@json_option
@click.pass_obj
def init(
    config: Path | None,
    name: str,
    camera: str,
    keystore: str,
    pcrs: str,
    state: str,
    request: Path | None,
    *,
    as_json: bool,
) -> None:
    """A bare box: its identity, its key in the best key store present, its certificate request."""
    box = open_box(config)
    name = name or (box_name(box) if box.generations() else socket.gethostname())
    done = initialise(box, name, camera=camera, keystore=keystore, state=state, pcrs=pcrs)
    if request is not None:
        write_atomic(request, done.request.read_bytes())
    place = request or done.request
    say(
        {
            "name": done.name,
            "ueid": done.ueid,
            "keystore": done.keystore,
            "kid": done.kid,
            "code": shown_code(done.kid),
            "request": str(place),
            "changed": done.changed,
        },
        [
            f"{done.name}: {'initialised' if done.changed else 'was initialised already'}",
            f"  identity  {done.ueid}",
            f"  key       {done.kid} in {done.keystore}",
            f"  request   {place}",
            f"  code      {shown_code(done.kid)}  (what the organisation approves, where it enrols by hand)",
            "next: vouchbox-provision enrol --bundle FILE, or --service https://… (--help tells the ways)",
        ],
        as_json=as_json,
    )
