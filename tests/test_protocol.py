"""The closed message set: what is valid comes back the same, what is not is refused, nothing is unbounded."""

import typing

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device import protocol
from device.errors import ProtocolViolation
from tests.strategies import messages

DIRECTIONS = {
    protocol.VISION_MESSAGES: typing.get_args(protocol.VisionMessage),
    protocol.NOTARY_ORDERS: typing.get_args(protocol.NotaryOrder),
    protocol.GATEWAY_REQUESTS: typing.get_args(protocol.GatewayRequest),
    protocol.NOTARY_MESSAGES: typing.get_args(protocol.NotaryMessage),
}
CASES = [(decoder, kind) for decoder, kinds in DIRECTIONS.items() for kind in kinds]


@pytest.mark.parametrize(("decoder", "kind"), CASES, ids=lambda x: getattr(x, "__name__", ""))
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_every_message_comes_back_as_it_was(decoder, kind, data):
    message = data.draw(messages(kind))
    assert decoder.decode(protocol.encode(message)) == message


@given(st.binary(max_size=5000))
@settings(max_examples=500, deadline=None)
def test_arbitrary_bytes_are_a_message_or_a_protocol_violation(data):
    for decoder in DIRECTIONS:
        try:
            decoder.decode(data)
        except ProtocolViolation:
            continue


@given(data=st.data(), seed=st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_a_mutated_message_is_a_message_or_a_protocol_violation(data, seed):
    decoder, kind = data.draw(st.sampled_from(CASES))
    raw = bytearray(protocol.encode(data.draw(messages(kind))))
    for _ in range(seed.randint(1, 4)):
        raw[seed.randrange(len(raw))] = seed.randrange(256)
    try:
        decoder.decode(bytes(raw))
    except ProtocolViolation:
        return


def test_a_message_of_another_direction_is_refused():
    consent = protocol.encode(protocol.Consent(True))
    with pytest.raises(ProtocolViolation):
        protocol.VISION_MESSAGES.decode(consent)


def test_an_extra_field_is_refused():
    raw = msgspec.msgpack.encode(["consent", True, b"pixels"])
    with pytest.raises(ProtocolViolation):
        protocol.GATEWAY_REQUESTS.decode(raw)


def test_a_field_out_of_its_bounds_is_refused_by_the_receiver():
    raw = msgspec.msgpack.encode(["p", "selfie", "good", 99999])
    with pytest.raises(ProtocolViolation):
        protocol.VISION_MESSAGES.decode(raw)


def test_a_message_that_is_too_long_is_not_sent():
    parts = {f"model{i}": bytes(32) for i in range(200)}
    with pytest.raises(ProtocolViolation, match="limit is 4096"):
        protocol.encode(protocol.VisionReady(protocol.CameraKind.LIVE, "x", parts))


def _bounds(info: msgspec.inspect.Type) -> int:
    """The most bytes that a value of this type can take in msgpack; fails for a type without a bound."""
    import msgspec.inspect as mi

    match info:
        case mi.StructType():
            return 3 + 16 + sum(_bounds(field.type) for field in info.fields)
        case mi.EnumType():
            return 2 + max(len(member.value) for member in info.cls)
        case mi.BoolType() | mi.NoneType():
            return 1
        case mi.IntType():
            assert info.ge is not None
            assert info.le is not None
            return 9
        case mi.StrType() | mi.BytesType():
            assert info.max_length is not None
            return 3 + 4 * info.max_length
        case mi.VarTupleType():
            return 3 + info.max_length * _bounds(info.item_type)
        case mi.DictType():
            return 3 + info.max_length * (_bounds(info.key_type) + _bounds(info.value_type))
        case mi.UnionType():
            return max(_bounds(part) for part in info.types)
    raise AssertionError(f"{info} is not bounded")


def test_no_field_that_vision_can_send_is_unbounded_and_its_free_bytes_are_few():
    """An image cannot be smuggled in a message: only enums, small numbers and short texts exist."""
    for kind in typing.get_args(protocol.VisionMessage):
        _bounds(msgspec.inspect.type_info(kind))
    assert _bounds(msgspec.inspect.type_info(protocol.Progress)) < 200
