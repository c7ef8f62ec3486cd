"""Texts for rendered lines: what a machine readable zone may hold, and strings that no document would print.

In: a numpy random generator. Out: a string over `ALPHABET`. About half are random, so that the network learns
shapes and not a language that would repair check digits; check digits are never computed, also in MRZ-like lines.
"""

from __future__ import annotations

import numpy as np

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
ALL = LETTERS + DIGITS + "<"
ALIKE = ("O0QD", "I1LT", "B8", "S5", "Z2", "G6C", "UV", "MNHW", "K<X", "EF", "4A", "7Y1", "PRF")


def line(rng: np.random.Generator, length: int) -> str:
    """A text of exactly `length` characters."""
    kind = rng.random()
    if kind < 0.30:
        return pick(rng, ALL, length)
    if kind < 0.42:
        return _runs(rng, length)
    if kind < 0.55:
        return _alike(rng, length)
    if kind < 0.70:
        return (_document_code(rng) + _name(rng)).ljust(length, "<")[:length]
    if kind < 0.92:
        return _data(rng, length)
    return pick(rng, DIGITS, length)


def pick(rng: np.random.Generator, letters: str, count: int) -> str:
    """`count` of the letters, at random."""
    return "".join(letters[index] for index in rng.integers(len(letters), size=count))


def _runs(rng: np.random.Generator, length: int) -> str:
    text = ""
    while len(text) < length:
        text += pick(rng, rng.choice([LETTERS, DIGITS, ALL]), rng.integers(1, 9)) + "<" * int(rng.integers(1, 12))
    return text[:length]


def _alike(rng: np.random.Generator, length: int) -> str:
    text = ""
    while len(text) < length:
        text += pick(rng, ALIKE[rng.integers(len(ALIKE))], rng.integers(1, 5))
    return text[:length]


def word(rng: np.random.Generator) -> str:
    """Something that can be said."""
    text = ""
    for _ in range(rng.integers(1, 5)):
        text += pick(rng, LETTERS, rng.integers(1, 3)) + pick(rng, "AEIOUY", 1)
    return text


def _name(rng: np.random.Generator) -> str:
    surname = "<".join(word(rng) for _ in range(rng.choice([1, 1, 1, 2])))
    return surname + "<<" + "<".join(word(rng) for _ in range(rng.integers(1, 4)))


def _document_code(rng: np.random.Generator) -> str:
    return rng.choice(["P<", "V<", "I<", "ID", "A<", "C<", "PO", "IR"]) + pick(rng, LETTERS, 3)


def _data(rng: np.random.Generator, length: int) -> str:
    number = pick(rng, LETTERS + DIGITS * 3, int(rng.integers(6, 10))).ljust(9, "<")
    date = f"{rng.integers(0, 100):02}{rng.integers(1, 13):02}{rng.integers(1, 32):02}"
    other = f"{rng.integers(0, 100):02}{rng.integers(1, 13):02}{rng.integers(1, 32):02}"
    digit = [pick(rng, DIGITS, 1) for _ in range(4)]
    optional = pick(rng, DIGITS * 2 + LETTERS, int(rng.integers(0, 15)))
    pieces = [number + digit[0], pick(rng, LETTERS, 3), date + digit[1], rng.choice(list("MF<")), other + digit[2]]
    if rng.random() < 0.4:
        pieces = [_document_code(rng), number + digit[0], optional]
    elif rng.random() < 0.3:
        pieces = pieces[2:] + pieces[1:2] + [optional]
    else:
        pieces.append(optional)
    return "".join(pieces).ljust(length - 1, "<")[: length - 1] + digit[3]
