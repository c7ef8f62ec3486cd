"""Tokens as codes: what is packed comes back byte for byte, and nothing else is taken for a token."""

from __future__ import annotations

import base64
import random
import zlib

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st

from device.codes import (
    ALPHABET,
    MAX_TOKEN,
    ONE_CODE,
    Assembly,
    Kind,
    base45,
    from_base45,
    pack,
    texts_of,
    token_from,
    unpack,
)
from device.errors import InputError


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


jws = st.lists(st.binary(max_size=400), min_size=3, max_size=3).map(lambda parts: ".".join(map(b64, parts)))
sd_jwt = st.tuples(jws, st.lists(st.binary(min_size=1, max_size=60), max_size=5)).map(
    lambda it: "~".join([it[0], *map(b64, it[1]), ""])
)


@pytest.mark.parametrize(
    ("plain", "encoded"), [(b"AB", "BB8"), (b"Hello!!", "%69 VD92EX0"), (b"base-45", "UJCLQE7W581")]
)
def test_base45_as_in_the_rfcs_examples(plain: bytes, encoded: str) -> None:
    assert base45(plain) == encoded
    assert from_base45(encoded) == plain


@pytest.mark.parametrize("text", [":::", "GGW", "A", "ab", "::"])
def test_what_is_not_base45_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        from_base45(text)


@given(st.one_of(jws, sd_jwt))
@settings(max_examples=150, deadline=None)
def test_a_token_comes_back_from_its_codes_in_any_order(token: str) -> None:
    texts = texts_of(Kind.VERDICT, token)
    random.Random(len(token)).shuffle(texts)
    assert token_from(Kind.VERDICT, texts) == token


def big_token() -> str:
    noise = random.Random(3)
    return ".".join(b64(noise.randbytes(size)) for size in (300, 4000, 64))


def test_a_long_token_is_split_and_every_text_fits_the_alphanumeric_mode() -> None:
    texts = texts_of(Kind.VERDICT, big_token())
    assert len(texts) > 1
    assert set("".join(texts)) <= set(ALPHABET)
    assert token_from(Kind.VERDICT, [*texts[1:], texts[1], texts[0]]) == big_token()


def test_a_code_is_read_by_an_ordinary_reader_as_the_text_itself() -> None:
    for text in texts_of(Kind.VERDICT, big_token()):
        code = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level="L")
        (read,) = zxingcpp.read_barcodes(code.to_image(scale=3))
        assert read.text == text


def test_a_token_of_just_one_code_is_one_code_that_can_be_drawn() -> None:
    token = "a.b.".replace("a", b64(b"{}")).replace("b", b64(random.Random(1).randbytes(ONE_CODE - 40))) + b64(b"s")
    (text,) = texts_of(Kind.VERDICT, token)
    assert zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level="L").valid


def test_a_missing_part_is_named() -> None:
    with pytest.raises(InputError, match="of 5 codes were found"):
        token_from(Kind.VERDICT, texts_of(Kind.VERDICT, big_token())[1:])


def test_parts_of_two_tokens_do_not_mix() -> None:
    other = big_token()[:-1] + ("A" if big_token()[-1] != "A" else "Q")
    one, two = texts_of(Kind.VERDICT, big_token()), texts_of(Kind.VERDICT, other)
    with pytest.raises(InputError):
        token_from(Kind.VERDICT, [one[0], *two[1:]])


def test_a_text_of_another_kind_is_passed_over() -> None:
    with pytest.raises(InputError, match="no code"):
        token_from(Kind.REQUEST, texts_of(Kind.VERDICT, big_token()))


def test_a_part_that_was_changed_is_refused() -> None:
    texts = texts_of(Kind.VERDICT, big_token())
    texts[0] = texts[0][:-3] + ("000" if not texts[0].endswith("000") else "111")
    with pytest.raises(InputError, match="do not belong together"):
        token_from(Kind.VERDICT, texts)


def test_a_bomb_does_not_go_off() -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflate.compress(bytes(50 * MAX_TOKEN)) + deflate.flush()
    with pytest.raises(InputError, match="too long"):
        unpack(bomb)


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_is_passed_over_or_refused(text: str) -> None:
    assembly = Assembly(Kind.REQUEST)
    for candidate in (text, f"VB1:Q:1/1:00000000:{text}", f"VB1:Q:{text}:00000000:AAA"):
        try:
            assert assembly.add(candidate) is None
        except InputError:
            continue


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_unpack_to_a_token_or_are_refused(data: bytes) -> None:
    for packed in (data, zlib.compress(data)[2:-4]):
        try:
            token = unpack(packed)
        except InputError:
            continue
        assert unpack(pack(token)) == token


@pytest.mark.parametrize("token", ["a b", "é", "QR", "a.b\n", "=", "AB"])
def test_what_is_no_canonical_token_is_not_packed(token: str) -> None:
    with pytest.raises(InputError):
        pack(token)
