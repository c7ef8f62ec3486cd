"""What both sides of a verdict agree on: the token's type, its algorithms, its size.

Used by the notary, which signs, and by `device.verify`. A verdict is a JWS in compact serialisation (RFC 7515) of
media type `application/vouchbox-verdict+jwt`; the header's `typ` leaves out "application/" as section 4.1.9 says.
"""

from __future__ import annotations

from typing import Final

from joserfc.errors import UnsupportedAlgorithmError
from joserfc.jws import JWSAlgModel, JWSRegistry  # type: ignore[attr-defined]

MEDIA_TYPE: Final = "application/vouchbox-verdict+jwt"
TYPE: Final = "vouchbox-verdict+jwt"
HEAD_TYPE: Final = "vouchbox-ledger-head+jwt"
REQUEST_TYPE: Final = "vouchbox-request+jwt"
PROOF_TYPE: Final = "dc+sd-jwt"
ALGORITHMS: Final = ("ES256", "EdDSA")
MAX_TOKEN: Final = 16 * 3500
"""Characters: what 16 `TokenPart`s hold. A verdict is 4 to 6 thousand."""


class VerdictRegistry(JWSRegistry):
    """joserfc's registry, with room in the header for a certificate chain, and with our two algorithms only."""

    max_header_length = 16 * 1024
    max_payload_length = 32 * 1024

    def __init__(self) -> None:
        super().__init__(algorithms=ALGORITHMS)

    def get_alg(self, name: str) -> JWSAlgModel:
        """One of ours; without joserfc's warning that RFC 9864 renames EdDSA: both ends know the curve."""
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError(f"{name!r} is neither ES256 nor EdDSA")
        return self.algorithms[name]
