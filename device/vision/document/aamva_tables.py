"""Tables of the AAMVA DL/ID Card Design Standard: issuers and mandatory elements.

In: nothing. Out: `ISSUERS` (issuer identification number to ISO 3166-2 code) and `mandatory`.
AAMVA DL/ID Card Design Standard 2000 (version 01) to 2020 (version 10), annex D; the issuer numbers are AAMVA's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ISSUERS: Final[Mapping[str, str]] = {
    "604426": "CA-PE", "604427": "US-AS", "604428": "CA-QC", "604429": "CA-YT", "604430": "US-MP", "604431": "US-PR",
    "604432": "CA-AB", "604433": "CA-NU", "604434": "CA-NT", "636000": "US-VA", "636001": "US-NY", "636002": "US-MA",
    "636003": "US-MD", "636004": "US-NC", "636005": "US-SC", "636006": "US-CT", "636007": "US-LA", "636008": "US-MT",
    "636009": "US-NM", "636010": "US-FL", "636011": "US-DE", "636012": "CA-ON", "636013": "CA-NS", "636014": "US-CA",
    "636015": "US-TX", "636016": "CA-NL", "636017": "CA-NB", "636018": "US-IA", "636019": "US-GU", "636020": "US-CO",
    "636021": "US-AR", "636022": "US-KS", "636023": "US-OH", "636024": "US-VT", "636025": "US-PA", "636026": "US-AZ",
    "636027": "US", "636028": "CA-BC", "636029": "US-OR", "636030": "US-MO", "636031": "US-WI", "636032": "US-MI",
    "636033": "US-AL", "636034": "US-ND", "636035": "US-IL", "636036": "US-NJ", "636037": "US-IN", "636038": "US-MN",
    "636039": "US-NH", "636040": "US-UT", "636041": "US-ME", "636042": "US-SD", "636043": "US-DC", "636044": "CA-SK",
    "636045": "US-WA", "636046": "US-KY", "636047": "US-HI", "636048": "CA-MB", "636049": "US-NV", "636050": "US-ID",
    "636051": "US-MS", "636052": "US-RI", "636053": "US-TN", "636054": "US-NE", "636055": "US-GA", "636056": "MX-COA",
    "636057": "MX-HID", "636058": "US-OK", "636059": "US-AK", "636060": "US-WY", "636061": "US-WV", "636062": "US-VI",
}  # fmt: skip
"""636027 is the Department of State, which issues to diplomats in all of the United States."""

COUNTRIES: Final[Mapping[str, str]] = {"US": "USA", "CA": "CAN", "MX": "MEX"}
CANADIAN_PROVINCES: Final = frozenset(["AB", "BC", "MB", "NB", "NL", "NS", "NT", "NU", "ON", "PE", "QC", "SK", "YT"])

ESSENTIAL: Final = ("name", "DAQ", "DBB", "DBA")
"""Without these the document says too little about anybody: surname or full name, number, birth, expiry."""

_COMMON: Final = ("DAQ", "DBA", "DBB", "DBC", "DBD", "DAG", "DAI", "DAJ", "DAK")
_LICENCE: Final = ("DCA", "DCB", "DCD")
"""Vehicle class, restrictions and endorsements: of a licence, not of an identification card."""
_FROM_2: Final = (*_COMMON, "DCS", "DAY", "DAU", "DCF", "DCG")


def mandatory(version: int, subfile: str) -> tuple[str, ...]:
    """Mandatory elements of a version's table D.3 for a DL or ID subfile. Version 01 had the name in DAA."""
    if version <= 1:
        return ("DAA", *_COMMON, *(("DAR", "DAS", "DAT") if subfile == "DL" else ()))
    licence = _LICENCE if subfile == "DL" else ()
    if version <= 3:
        return (*licence, *_FROM_2, "DCT")
    return (*licence, *_FROM_2, "DAC", "DAD", "DDE", "DDF", "DDG")
