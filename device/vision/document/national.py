"""National numbers: their checksums, the dates in them, and the Chinese resident identity card.

In: the text of a number with its scheme, or the evidence of the number line of a Chinese card. Out: a `NationalNumber`
with one answer for each rule, or a `CardReading` with the card's fields.

Checksums come from python-stdnum. GB 11643-1999: six digits of region, birth date, three digits of sequence (odd for
men), check character by ISO 7064 MOD 11-2.

python-stdnum brings the standard library's TLS and help system along (5 MB in each worker, for web services that a box
never asks): it is imported with the first number.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from device.protocol import DocumentType, Reason, Result
from device.vision.document.evidence import ALPHABET, INDEX, LineEvidence
from device.vision.document.mrz_fields import DocumentFields, PartialDate
from device.vision.document.parameters import parameters

Answer = tuple[Result, Reason | None]
PASSED: Final[Answer] = (Result.PASS, None)

SCHEMES: Final[Mapping[str, str]] = {
    "BEL": "be_nn", "BGR": "bg_egn", "CHE": "ch_ssn", "CHL": "cl_rut", "CHN": "cn_ric", "CZE": "cz_rc", "DNK": "dk_cpr",
    "DOM": "do_cedula", "ECU": "ec_ci", "ESP": "es_dni", "EST": "ee_ik", "FIN": "fi_hetu", "HRV": "hr_oib",
    "IDN": "id_nik", "ISL": "is_kennitala", "ISR": "il_idnr", "ITA": "it_codicefiscale", "KOR": "kr_rrn",
    "LTU": "lt_asmens", "MKD": "mk_edb", "MYS": "my_nric", "NLD": "nl_bsn", "NOR": "no_fodselsnummer",
    "PAK": "pk_cnic", "POL": "pl_pesel", "PRT": "pt_cc", "ROU": "ro_cnp", "SRB": "rs_pib",
    "SVK": "sk_rc", "SVN": "si_emso", "SWE": "se_personnummer", "THA": "th_pin", "TUR": "tr_tckimlik",
    "TWN": "tw_ubn", "URY": "uy_rut", "ZAF": "za_idnr",
}  # fmt: skip
"""State (ICAO code) to the scheme of python-stdnum, `country_name`."""
_CENTURY_GUESSED: Final = frozenset(("id_nik", "it_codicefiscale", "my_nric", "za_idnr"))
"""Schemes with two digits for the year of birth and nothing for the century, which python-stdnum then guesses."""
_KNOWN: Final = frozenset(SCHEMES.values())
MAX_LENGTH: Final = 40
RESIDENT_NUMBER: Final = 18
"""Characters of a Chinese resident identity number (GB 11643)."""

_WEIGHTS: Final = tuple(pow(2, RESIDENT_NUMBER - 1 - index, 11) for index in range(RESIDENT_NUMBER))
"""ISO 7064 MOD 11-2: the weighted sum of all characters, X counting ten, leaves 1."""
_POSITIONS: Final = ("123456789", *["0123456789"] * 5, "12", "089", *["0123456789"] * 2, "01", "0123456789", "0123",
                     *["0123456789"] * 4, "0123456789X")  # fmt: skip
"""What GB 11643 lets each position hold; births of the 19th, 20th and 21st century."""
_DIGITS: Final = np.array([INDEX[digit] for digit in "0123456789"])


@dataclass(frozen=True)
class NationalNumber:
    """One number. `text` is its compact form; `date_of_birth` and `sex` only where the scheme carries them.

    `century_known`: whether the number says in which century that is; if not, the year's last two digits count.
    """

    scheme: str
    text: str
    checks: Mapping[str, Answer]
    date_of_birth: PartialDate | None = None
    sex: str = ""
    century_known: bool = True

    @property
    def valid(self) -> bool:
        """Whether every rule of the scheme holds."""
        return self.reason is None

    @property
    def reason(self) -> Reason | None:
        """The first rule that does not hold."""
        return next((reason for result, reason in self.checks.values() if result is not Result.PASS), None)


@dataclass(frozen=True)
class CardReading:
    """The front of a Chinese resident identity card: its number as printed, and the fields that follow from it."""

    number: NationalNumber
    fields: DocumentFields
    checks: Mapping[str, Answer]

    @property
    def consistent(self) -> bool:
        """Whether every rule holds and the evidence carries the text."""
        return all(result is Result.PASS for result, _ in self.checks.values())

    @property
    def plausible(self) -> bool:
        """Whether it is such a number, right or wrong: what one wrong digit leaves right, other digits hardly have."""
        return any(self.checks[name][0] is Result.PASS for name in ("region", "date_of_birth_possible"))


def judge(scheme: str, text: str, today: datetime.date) -> NationalNumber | None:
    """Judge a number by its scheme (`cn_ric`, `fi_hetu`, …); None if the scheme is not known here."""
    if scheme not in _KNOWN:
        return None
    if scheme == "cn_ric":
        return resident_number(text, today)
    country, _, name = scheme.partition("_")
    from stdnum import get_cc_module
    from stdnum.exceptions import InvalidChecksum

    module: Any = get_cc_module(country, name)
    if module is None or len(text) > MAX_LENGTH:
        return NationalNumber(scheme, text[:MAX_LENGTH], {"characters": (Result.FAIL, Reason.CHARACTERS_NOT_ALLOWED)})
    checks: dict[str, Answer] = {"check_digit": PASSED}
    compact = text
    try:
        compact = module.validate(text)
    except InvalidChecksum:
        checks = {"check_digit": (Result.FAIL, Reason.CHECK_DIGIT_WRONG)}
    except ValueError:  # stdnum's ValidationError is one, and so is what comes of digits that are none of ASCII's
        checks = {"characters": (Result.FAIL, Reason.CHARACTERS_NOT_ALLOWED)}
    born, sex = _holder(module, compact, all(check is PASSED for check in checks.values()))
    return NationalNumber(scheme, compact, checks, born, sex, _says_century(scheme, compact))


def _says_century(scheme: str, number: str) -> bool:
    """Whether the number itself says it. A Swedish one has it only in its long form: the sign of the short one turns
    with its holder's hundredth birthday. A Romanian one has none where its first digit is a foreigner's."""
    if scheme == "se_personnummer":
        return len(number) == len("YYYYMMDD-NNNN")
    if scheme == "ro_cnp":
        return number[:1] in tuple("123456")
    return scheme not in _CENTURY_GUESSED


def _holder(module: Any, number: str, valid: bool) -> tuple[PartialDate | None, str]:
    """Birth date and sex as the scheme's module reads them, where it does."""
    born, sex = None, ""
    if valid and hasattr(module, "get_birth_date"):
        try:
            date = module.get_birth_date(number)
        except ValueError:
            date = None
        born = PartialDate(date.year, date.month, date.day) if date else None
    if valid and hasattr(module, "get_gender"):
        try:
            sex = str(module.get_gender(number) or "")[:1].upper()
        except ValueError:
            sex = ""
    return born, sex if sex in ("M", "F") else ""


# --- GB 11643 --------------------------------------------------------------------------------------------------------


def resident_number(text: str, today: datetime.date) -> NationalNumber:
    """Judge a Chinese resident identity number: its form, region, birth date and check character."""
    number = re.sub(r"\s", "", text).upper()
    if not re.fullmatch(r"[0-9]{17}[0-9X]", number):
        return NationalNumber(
            "cn_ric", number[:MAX_LENGTH], {"characters": (Result.FAIL, Reason.CHARACTERS_NOT_ALLOWED)}
        )
    born = PartialDate(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    possible = born.possible and born.year >= 1800 and born.earliest <= today
    checks: dict[str, Answer] = {
        "region": PASSED if _region_known(number[:6]) else (Result.FAIL, Reason.CHARACTERS_NOT_ALLOWED),
        "date_of_birth_possible": PASSED if possible else (Result.FAIL, Reason.DATE_IMPOSSIBLE),
        "check_digit": PASSED if _sum(number) == 1 else (Result.FAIL, Reason.CHECK_DIGIT_WRONG),
    }
    sex = "M" if int(number[16]) % 2 else "F"
    return NationalNumber("cn_ric", number, checks, born if possible else None, sex)


def compose_resident_number(region: str, born: datetime.date, sequence: int) -> str:
    """A number with the right check character; `sequence` is 0 to 999, odd for men."""
    body = f"{region}{born:%Y%m%d}{sequence:03d}"
    return body + next(character for character in "0123456789X" if _sum(body + character) == 1)


def _sum(number: str) -> int:
    values = (10 if character == "X" else int(character) for character in number)
    return sum(weight * value for weight, value in zip(_WEIGHTS, values, strict=True)) % 11


def _region_known(code: str) -> bool:
    """Whether a county ever had this code (GB/T 2260). When it had it is not asked: numbers were given to people born
    long before their county had its code."""
    from stdnum import numdb

    found = numdb.get("cn/loc").info(code)
    return any("county" in properties for _, properties in found)


def read_resident_card(line: LineEvidence, today: datetime.date) -> CardReading | None:
    """Read the number line of a Chinese resident identity card. None if it has not 18 characters, or is not digits.

    As with machine readable zones (`mrz.py`), the check character settles what the pixels leave open, up to
    `repair_gap`; a number printed with a wrong one is read as printed, and so is a digit that may not stand in its
    place, if it is too clear to give way.
    """
    if len(line) != RESIDENT_NUMBER:
        return None
    limits = parameters("mrz")
    logs = np.log(np.maximum(line.probabilities.astype(np.float64), limits["floor"]))
    columns = [np.array([INDEX[character] for character in allowed]) for allowed in _POSITIONS]
    free = [_as_printed(row, allowed, limits["alphabet_gap"]) for row, allowed in zip(logs, columns, strict=True)]
    cost = sum(float(row.max() - row[index]) for row, index in zip(logs, free, strict=True))
    if cost > len(_POSITIONS) * limits["repair_gap"]:
        return None
    bound, total, mass = _search(logs, columns)
    gap = sum(float(row[index]) for row, index in zip(logs, free, strict=True)) - total
    accepted = gap <= limits["repair_gap"]
    number = resident_number("".join(ALPHABET[index] for index in (bound if accepted else free)), today)
    surprise = mass - total if accepted else 0.0
    settled = gap if accepted else 0.0
    weak = (
        cost + settled > limits["repair_gap"]
        or settled > limits["settled_limit"]
        or surprise > limits["surprise_limit"]
    )
    checks = dict(number.checks) | {"evidence": (Result.FAIL, Reason.EVIDENCE_WEAK) if weak else PASSED}
    fields = DocumentFields(
        document_type=DocumentType.IDENTITY_CARD,
        issuing_state="CHN",
        document_number=number.text,
        nationality="CHN",
        date_of_birth=number.date_of_birth,
        sex=number.sex,
        national_number=number.text,
    )
    return CardReading(number, fields, checks)


def _as_printed(row: np.ndarray, allowed: np.ndarray, gap: float) -> int:
    """The likeliest column that may stand here, or the likeliest digit if that is clearer by more than `gap`."""
    best, digit = int(allowed[row[allowed].argmax()]), int(_DIGITS[row[_DIGITS].argmax()])
    return digit if row[digit] - row[best] > gap else best


def _search(logs: np.ndarray, columns: list[np.ndarray]) -> tuple[list[int], float, float]:
    """Likeliest number whose check character is right, its log-probability, and that of all such numbers."""
    best: list[tuple[float, list[int]]] = [(0.0 if residue == 0 else -np.inf, []) for residue in range(11)]
    mass = np.full(11, -np.inf)
    mass[0] = 0.0
    for row, allowed, weight in zip(logs, columns, _WEIGHTS, strict=True):
        following: list[tuple[float, list[int]]] = [(-np.inf, []) for _ in range(11)]
        masses = np.full(11, -np.inf)
        for column in allowed:
            character = ALPHABET[column]
            step = weight * (10 if character == "X" else int(character)) % 11
            for residue, (score, path) in enumerate(best):
                target = (residue + step) % 11
                if score + row[column] > following[target][0]:
                    following[target] = (score + float(row[column]), [*path, int(column)])
                masses[target] = np.logaddexp(masses[target], mass[residue] + row[column])
        best, mass = following, masses
    return best[1][1], best[1][0], float(mass[1])


# --- Numbers in other documents --------------------------------------------------------------------------------------


def number_in(fields: DocumentFields, today: datetime.date) -> NationalNumber | None:
    """The national number in a document's optional data, if its state puts one there and it is a right one.

    What the optional data hold is the issuer's affair (Doc 9303-3 section 4.2), so text that is no right number is
    no number, and not a wrong one.
    """
    scheme = SCHEMES.get(fields.issuing_state)
    if scheme is None or fields.document_type in (DocumentType.VISA, DocumentType.RESIDENCE_PERMIT):
        return None
    candidates = list(fields.optional_data)
    born = fields.date_of_birth
    if fields.issuing_state == "ROU" and born is not None and candidates:
        # The Romanian card leaves the birth date out of the number, since the zone has it already.
        candidates = [text[:1] + born.mrz + text[1:] for text in candidates]
    for text in candidates:
        number = judge(scheme, text.replace(" ", "-") if scheme == "fi_hetu" else text.replace(" ", ""), today)
        if number is not None and number.valid:
            return number
    return None
