"""What a gateway says of the three processes at `/healthz`, asked on the machine that it runs on.

In: its URL; over TLS the file with its own certificate: whoever shows another one is not this gateway. Its name is not
looked at, since it is certified for the name by which others call it. Out: an empty string, or what is not well.
"""

from __future__ import annotations

import http.client
import re
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

NO_ANSWER: Final = "the gateway does not answer"
_TIMEOUT: Final = 5.0
_LONGEST: Final = 65_536
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def health(url: str, certificate: str = "") -> str:
    """Asks `/healthz`. Returns an empty string if all three are well, else what is not.

    Args:
        url: `http://` or `https://`, host and port.
        certificate: PEM file that a gateway with TLS was configured with (`gateway.certificate`).
    """
    try:
        connection = _connect(url, certificate)
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            body = answer.read(_LONGEST).decode(errors="replace")
            return "" if answer.status == 200 else body
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return f"{NO_ANSWER}: {error}"


def _connect(url: str, certificate: str) -> http.client.HTTPConnection:
    """Raises `OSError` if nobody answers, or somebody else does."""
    target = urlsplit(url)
    host, port = target.hostname or "", target.port
    if target.scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    # Nobody's signature is looked for but, below, this very certificate.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=context)
    connection.connect()
    if connection.sock.getpeercert(binary_form=True) != _own_certificate(certificate):
        connection.close()
        raise OSError(f"{host}:{port} shows another certificate than {certificate or 'none'}")
    return connection


def _own_certificate(file: str) -> bytes:
    """The first of the file in DER; empty if there is none."""
    found = _CERTIFICATE.search(Path(file).read_text(encoding="ascii", errors="replace")) if file else None
    return ssl.PEM_cert_to_DER_cert(found[0]) if found else b""
