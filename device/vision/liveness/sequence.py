"""Draws a challenge from its seed: which movements, in which order, with which pauses.

In: the 32 bytes that the notary derived from the relying party's nonce and the box's own randomness, the number of
steps, the movements that the person can do. Out: the movements and the pauses before their prompts; and how hard
they are to guess. HKDF-Expand with HMAC-SHA-256 (RFC 5869 section 2.3) makes a byte stream of the seed; rejection
sampling makes uniform choices of it, so every sequence is exactly equally likely. Wherever the person can turn their
head to a side, every sequence has such a movement, since depth (`parallax`) is judged in a turn only.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Iterator, Sequence

from device.protocol import Movement

PURPOSE = b"vouchbox challenge sequence 1"
TURNS = frozenset({Movement.TURN_LEFT, Movement.TURN_RIGHT})


def _stream(seed: bytes, info: bytes) -> Iterator[int]:
    """RFC 5869 section 2.3; at most 255 blocks of 32 bytes, far more than a challenge can use."""
    block = b""
    for counter in range(1, 256):
        block = hmac.new(seed, block + info + bytes([counter]), hashlib.sha256).digest()
        yield from block


def _below(stream: Iterator[int], count: int) -> int:
    """A uniform integer in [0, count), count <= 256, without the bias of a plain remainder."""
    limit = 256 - 256 % count
    return next(byte for byte in stream if byte < limit) % count


def draw_movements(seed: bytes, steps: int, movements: Sequence[Movement], attempt: int = 0) -> tuple[Movement, ...]:
    """The sequence that `seed` stands for; never the same movement twice in a row.

    Args:
        seed: 32 bytes, secret until the prompts are shown.
        steps: how many movements, at least 1.
        movements: those that may be asked; the order and repetitions in it do not matter.
        attempt: 0 for the first try; each retry asks another sequence.

    Raises:
        ValueError: seed not 32 bytes, no step, or not enough different movements.
    """
    choices = _choices(steps, movements)
    if len(seed) != 32:
        raise ValueError(f"a challenge seed has 32 bytes, not {len(seed)}")
    stream = _stream(seed, PURPOSE + b" movements" + bytes([attempt]))
    while True:  # with one turn among seven movements two thirds of the drawn sequences of five have one
        drawn: list[Movement] = []
        for _ in range(steps):
            others = [movement for movement in choices if not drawn or movement is not drawn[-1]]
            drawn.append(others[_below(stream, len(others))])
        if not TURNS & set(choices) or TURNS & set(drawn):
            return tuple(drawn)


def draw_pauses(seed: bytes, steps: int, attempt: int = 0) -> tuple[float, ...]:
    """A fraction in [0, 1) for each step: how much of the longest pause passes before its prompt."""
    stream = _stream(seed, PURPOSE + b" pauses" + bytes([attempt]))
    return tuple(_below(stream, 256) / 256 for _ in range(steps))


def unpredictability_bits(steps: int, movements: Sequence[Movement], attempts: int = 1) -> float:
    """-log2 of the chance that one sequence chosen beforehand is the one asked in any of `attempts` tries.

    All sequences without a repetition in a row that have a turn, if any can, are equally likely. The pauses between
    them are not counted, although a recording would have to meet them too: what they add depends on how patient the
    windows are.
    """
    choices = _choices(steps, movements)
    without_turn = len(choices) - len(TURNS & set(choices))
    sequences = _count(len(choices), steps)
    if without_turn < len(choices):
        sequences -= _count(without_turn, steps)
    return math.log2(sequences / min(attempts, sequences))


def steps_for(bits: float, movements: Sequence[Movement]) -> int:
    """The fewest steps that are at least `bits` hard to guess. Raises ValueError if two movements can never be."""
    if len(set(movements)) < 3:
        raise ValueError("a challenge of fewer than three movements stays predictable however long it is")
    steps = 1
    while unpredictability_bits(steps, movements) < bits:
        steps += 1
    return steps


def _count(choices: int, steps: int) -> int:
    """Sequences of `steps` out of `choices` movements, none twice in a row."""
    if choices == 0:
        return 0
    total: int = choices * (choices - 1) ** (steps - 1)
    return total


def _choices(steps: int, movements: Sequence[Movement]) -> list[Movement]:
    choices = sorted(set(movements), key=list(Movement).index)
    if steps < 1 or not choices or (steps > 1 and len(choices) < 2):
        raise ValueError(f"{steps} steps cannot be drawn from {len(choices)} different movements")
    return choices
