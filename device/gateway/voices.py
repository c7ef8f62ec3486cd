"""Spoken guidance where the browser has no voice: recordings that espeak-ng makes on the box, one for each text.

In: a language. Out: WAV files under `<state>/voices/<language>/`, which the kiosk page asks for by the text's key.
`vouchbox voices` makes them, when the box is set up: the gateway itself starts no program and writes no file.
"""

from __future__ import annotations

import array
import io
import re
import shutil
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from device.errors import ConfigurationError
from device.gateway.languages import Language, languages

FOLDER: Final = "voices"
NAME: Final = re.compile(r"(guidance|explanation|attribute|text)-[a-z0-9_]{1,40}")
SPOKEN_TEXTS: Final = (
    *("idle_title", "idle_text", "lost_title", "lost_text", "staff", "little_time", "more_how"),
    *("consent_lead", "happens", "happens_document", "happens_holding", "happens_face", "happens_presence"),
    *("told_result", "told_subject", "kept", "kept_sentence", "kept_nothing"),
    *("verified", "rejected", "inconclusive", "stopped", "code_verdict", "code_proof", "code_proof_text"),
)
"""The page's own sentences that are read aloud and name nobody."""
ESPEAK: Final = {
    "en": "en-gb",
    "zh-Hans": "cmn",
    "zh-Hant": "cmn",
    "es": "es",
    "fr": "fr-fr",
    "de": "de",
    "pt": "pt",
    "ar": "ar",
    "hi": "hi",
    "uk": "uk",
}
"""espeak-ng's voice for each language (espeak-ng --voices)."""
WORDS_A_MINUTE: Final = 150
_SECONDS: Final = 30


def spoken(language: Language) -> Iterator[tuple[str, str]]:
    """Key and text of everything that is read aloud."""
    for guidance, text in language.guidance.items():
        yield f"guidance-{guidance}", text
    for key, text in language.explanation.items():
        yield f"explanation-{key}", text
    for attribute, text in language.attribute.items():
        yield f"attribute-{attribute}", text
    for key in SPOKEN_TEXTS:
        yield f"text-{key}", getattr(language.text, key)


def record(code: str, folder: Path) -> int:
    """Makes the recordings of one language; how many.

    Raises:
        ConfigurationError: espeak-ng is not installed, fails, or the folder cannot be written.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise ConfigurationError("espeak-ng is not installed: apt-get install espeak-ng")
    place = folder / code
    try:
        place.mkdir(parents=True, exist_ok=True)
        count = 0
        for key, text in spoken(languages()[code]):
            (place / f"{key}.wav").write_bytes(halved(_speak(program, ESPEAK[code], text)))
            count += 1
    except OSError as error:
        raise ConfigurationError(f"cannot record into {place}: {error.strerror}") from error
    return count


def _speak(program: str, voice: str, text: str) -> bytes:
    command = [program, "-v", voice, "-s", str(WORDS_A_MINUTE), "--stdout", "--", text]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=_SECONDS)  # noqa: S603
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"espeak-ng does not speak {voice}: {error}") from error
    return done.stdout


def halved(recording: bytes) -> bytes:
    """Half the sampling rate, which a synthesised voice loses nothing by; half the bytes."""
    with wave.open(io.BytesIO(recording)) as source:
        rate, samples = source.getframerate(), array.array("h")
        samples.frombytes(source.readframes(10 * 60 * rate))  # a stream's header tells no length
    if sys.byteorder == "big":
        samples.byteswap()
    pairs = zip(samples[::2], samples[1::2], strict=False)
    halves = array.array("h", [(one + other) // 2 for one, other in pairs])
    if sys.byteorder == "big":
        halves.byteswap()
    out = io.BytesIO()
    with wave.open(out, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(rate // 2)
        target.writeframes(halves.tobytes())
    return out.getvalue()


def recorded(state: Path, code: str) -> bool:
    """Whether this language has been recorded on this box."""
    try:
        return (state / FOLDER / code / "guidance-wait.wav").is_file()
    except OSError:
        return False
