"""Spoken guidance: every text that is read aloud has a recording, and only recordings are served."""

from __future__ import annotations

import io
import re
import shutil
import struct
import wave
from pathlib import Path

import pytest

from device.errors import ConfigurationError
from device.gateway import voices
from device.gateway.kiosk_view import Happening
from device.gateway.languages import EXPLANATIONS, ORDER, languages
from device.gateway.voices import ESPEAK, NAME, halved, record, recorded, spoken
from device.protocol import Attribute, Guidance
from tests.gateway.conftest import Box

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


def wav(samples: list[int], rate: int = 22_050) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(rate)
        target.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return out.getvalue()


@pytest.mark.parametrize("code", ORDER)
def test_everything_that_is_said_has_a_key(code: str) -> None:
    keys = [key for key, _ in spoken(languages()[code])]
    counts = len(Guidance), len(EXPLANATIONS), len(Attribute), len(voices.SPOKEN_TEXTS)
    assert len(keys) == len(set(keys)) == sum(counts)
    assert all(NAME.fullmatch(key) for key in keys)
    assert not any("{" in text for _, text in spoken(languages()[code])), "a recording can name nobody"
    assert code in ESPEAK


def test_all_that_the_page_reads_aloud_is_recorded() -> None:
    """Apart from what names somebody, which a recording cannot."""
    script = "".join(part.read_text() for part in (Path(voices.__file__).parent / "static").glob("*.js"))
    english = languages()["en"].text
    said = set(re.findall(r'\btext\("(\w+)"\)', script))
    said |= {f"happens_{step}" for step in Happening} | {"verified", "rejected", "inconclusive", "stopped"}
    said |= {f"{view}_{part}" for view in ("idle", "lost") for part in ("title", "text")}
    assert {key for key in said if "{" not in getattr(english, key)} == set(voices.SPOKEN_TEXTS) - {
        "code_proof",
        "code_proof_text",
    }
    assert set(re.findall(r'named\("(\w+)"', script)) == {"guidance", "attribute", "explanation"}


def test_half_the_rate_is_the_same_sound() -> None:
    with wave.open(io.BytesIO(halved(wav([100, 300, -200, -400])))) as made:
        assert (made.getframerate(), made.getnframes()) == (11_025, 2)
        assert struct.unpack("<2h", made.readframes(2)) == (200, -300)


@needs_espeak
@pytest.mark.parametrize("code", ORDER)
def test_espeak_speaks_every_language(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [("guidance-wait", languages()[code].guidance[Guidance.WAIT])]
    monkeypatch.setattr(voices, "spoken", lambda _: iter(few))
    assert record(code, tmp_path / "voices") == 1
    assert recorded(tmp_path, code)
    with wave.open(str(tmp_path / "voices" / code / "guidance-wait.wav")) as made:
        assert made.getnframes() / made.getframerate() > 0.3, "seconds of sound"


def test_without_espeak_the_technician_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices.shutil, "which", lambda _: None)
    with pytest.raises(ConfigurationError, match="apt-get install espeak-ng"):
        record("en", tmp_path)


class TestServed:
    @pytest.fixture(autouse=True)
    def recording(self, box: Box) -> None:
        folder = box.config.state / "voices" / "en"
        folder.mkdir(parents=True)
        (folder / "guidance-wait.wav").write_bytes(wav([1, 2, 3, 4]))

    def test_the_page_knows_and_gets_it(self, box: Box) -> None:
        assert '"recorded":true' in box.nobody.get("/?lang=en").body.decode()
        assert '"recorded":false' in box.nobody.get("/?lang=de").body.decode()
        answer = box.nobody.get("/kiosk/voice/en/guidance-wait.wav")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "audio/wav")
        assert answer.body == wav([1, 2, 3, 4])

    @pytest.mark.parametrize(
        "path",
        [
            "en/guidance-blink",
            "de/guidance-wait",
            "xx/guidance-wait",
            "en/..%2f..%2fledger",
            "..%2f/guidance-wait",
            "en/x",
        ],
    )
    def test_nothing_else_is_served(self, box: Box, path: str) -> None:
        assert box.nobody.get(f"/kiosk/voice/{path}.wav").problem == "not-found"

    def test_it_is_for_the_box_alone(self, box: Box) -> None:
        answer = box.nobody.call("GET", "/kiosk/voice/en/guidance-wait.wav", Host="evil.example")
        assert answer.problem == "not-at-the-box"
