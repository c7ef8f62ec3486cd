"""Names in a machine readable zone: transliteration, the name field and its truncation, and reading it back.

In: names as people write them, or a name field of fillers and letters. Out: the field, or surname and given names.
ICAO Doc 9303-3 sections 4.6 (conventions), 6.A (recommended transliteration) and Doc 9303-4 section 4.2.3 (truncation).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Final

from device.errors import InputError

FILLER: Final = "<"

LATIN: Final[Mapping[str, str]] = {
    "Ä": "AE", "Å": "AA", "Æ": "AE", "Ð": "D", "Đ": "D", "Ħ": "H", "ı": "I", "Ĳ": "IJ", "ĸ": "Q", "Ł": "L", "Ŋ": "N",
    "Ö": "OE", "Ø": "OE", "Œ": "OE", "ẞ": "SS", "ß": "SS", "Þ": "TH", "Ŧ": "T", "Ü": "UE",
}  # fmt: skip
"""Doc 9303-3 table 6.A where it is more than leaving the diacritic out."""
OMITTED: Final = "'’ʼ`´.\u00ad"
"""Doc 9303-3 section 4.6: apostrophes are left out, and so are full stops."""
SEPARATORS: Final = " -‐–/_<\u00a0"


def transliterate(text: str) -> str:
    """Letters A–Z, digits and fillers for a name; hyphens and spaces become one filler each.

    Raises:
        InputError: a character has no transliteration here (Doc 9303-3 sections 6.B and 6.C leave Cyrillic and
            Arabic names to the issuer: give the Latin spelling).
    """
    out: list[str] = []
    for character in unicodedata.normalize("NFC", text).upper():
        if character in OMITTED:
            continue
        if character in SEPARATORS or character == ",":
            out.append(FILLER)
            continue
        replaced = LATIN.get(character) or unicodedata.normalize("NFKD", character)
        kept = "".join(part for part in replaced if not unicodedata.combining(part))
        if not (kept.isascii() and kept.isalnum()):
            raise InputError(f"{character!r} in a name has no Latin transliteration: give the name in Latin letters")
        out.append(kept)
    return FILLER.join(part for part in "".join(out).split(FILLER) if part)


def name_field(surname: str, given_names: str, width: int) -> str:
    """Name field of `width` characters, truncated so that its last character is a letter if it does not fit."""
    primary, secondary = transliterate(surname), transliterate(given_names)
    full = f"{primary}{FILLER * 2}{secondary}" if secondary else primary
    if len(full) <= width:
        return full.ljust(width, FILLER)
    if not secondary:
        return _letter_last(primary, width)
    if len(primary) > width - 3:
        primary = primary[: width - 3].rstrip(FILLER)
    return primary + FILLER * 2 + _letter_last(secondary, width - len(primary) - 2)


def _letter_last(text: str, width: int) -> str:
    """`text` cut to `width` without a filler at the end: components give up letters until a letter stands there."""
    if len(text) <= width:
        return text.ljust(width, FILLER)
    components = text.split(FILLER)
    while (cut := FILLER.join(components)[:width])[-1] == FILLER:
        longest = max(range(len(components) - 1), key=lambda index: len(components[index]))
        if len(components[longest]) == 1:
            return cut.rstrip(FILLER).ljust(width, FILLER)
        components[longest] = components[longest][:-1]
    return cut.ljust(width, FILLER)


def split_name(field: str) -> tuple[str, str, bool]:
    """Surname, given names (with spaces) and whether the field may be truncated: no filler at its end."""
    body = field.rstrip(FILLER)
    primary, _, secondary = body.lstrip(FILLER).partition(FILLER * 2)
    return _spaced(primary), _spaced(secondary), not field.endswith(FILLER)


def _spaced(text: str) -> str:
    return " ".join(part for part in text.split(FILLER) if part)
