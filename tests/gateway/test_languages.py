"""Every code that the page can be told has a text in every language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from device.errors import ConfigurationError
from device.gateway import languages as module
from device.gateway.languages import EXPLANATIONS, ORDER, Language, explanation_of, languages, load_language
from device.protocol import Attribute, Guidance, Reason

PLACEHOLDER = re.compile(r"\{\w+\}")


def test_every_reason_has_exactly_one_explanation() -> None:
    explained = [reason for reasons in EXPLANATIONS.values() for reason in reasons]
    assert sorted(explained) == sorted(Reason)


@pytest.mark.parametrize("code", ORDER)
def test_every_code_has_a_text(code: str) -> None:
    language = languages()[code]
    assert set(language.guidance) == set(Guidance)
    assert set(language.attribute) == set(Attribute)
    assert all(language.for_reason(reason) for reason in Reason)


@pytest.mark.parametrize("code", ORDER)
def test_placeholders_are_those_of_the_english_text(code: str) -> None:
    english, language = languages()["en"].text, languages()[code].text
    for key in english.__struct_fields__:
        assert sorted(PLACEHOLDER.findall(getattr(language, key))) == sorted(PLACEHOLDER.findall(getattr(english, key)))


@pytest.mark.parametrize("code", ORDER[1:])
def test_a_language_is_not_english(code: str) -> None:
    """Nothing was left untranslated; a word may happen to be the same."""
    same = {text for text in _sentences(languages()[code]) if text in _sentences(languages()["en"])}
    assert all(" " not in text for text in same), same


def test_directions() -> None:
    assert {code for code, language in languages().items() if language.direction == "rtl"} == {"ar"}


def test_an_attacker_is_not_told_what_gave_them_away() -> None:
    given_away = (Reason.PRESENTATION_ATTACK, Reason.MOVES_AS_PLANE, Reason.INJECTED_FRAMES)
    assert {explanation_of(reason) for reason in given_away} == {"presence"}


@pytest.mark.parametrize("defect", ["guidance_missing", "text_missing", "text_unknown"])
def test_an_incomplete_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, defect: str) -> None:
    good = (Path(module.__file__).parent / "en.toml").read_text()
    change = {
        "guidance_missing": ('blink = "Close your eyes for a moment"\n', ""),
        "text_missing": ('yes = "Yes, begin"\n', ""),
        "text_unknown": ('yes = "Yes, begin"\n', 'yes = "Yes, begin"\nmaybe = "Later"\n'),
    }[defect]
    (tmp_path / "en.toml").write_text(good.replace(*change))
    monkeypatch.setattr(module, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(ConfigurationError, match=r"en\.toml"):
        load_language("en")


def _sentences(language: Language) -> set[str]:
    texts = {getattr(language.text, key) for key in language.text.__struct_fields__}
    return texts | set(language.guidance.values()) | set(language.explanation.values())
