"""Hypothesis strategies for any message of `device.protocol`, read off the struct definitions themselves."""

from __future__ import annotations

import functools

import msgspec.inspect as mi
from hypothesis import strategies as st

PLAIN_TEXT = st.characters(codec="utf-8", exclude_categories=["Cs"])


@functools.cache
def messages(kind: type) -> st.SearchStrategy:
    """Valid instances of a message struct, at and around their bounds."""
    return _strategy(mi.type_info(kind))


def _strategy(info: mi.Type) -> st.SearchStrategy:
    match info:
        case mi.StructType():
            return st.builds(info.cls, **{field.name: _strategy(field.type) for field in info.fields})
        case mi.EnumType():
            return st.sampled_from(list(info.cls))
        case mi.BoolType():
            return st.booleans()
        case mi.NoneType():
            return st.none()
        case mi.IntType():
            return st.integers(info.ge, info.le)
        case mi.StrType(pattern=None):
            return st.text(PLAIN_TEXT, min_size=info.min_length or 0, max_size=_cap(info.max_length))
        case mi.StrType():
            # The identifier patterns are character classes with bounds: one allowed first character, then allowed ones.
            first, rest = "abcXYZ019", "abcXYZ019_-"
            length = st.integers(max(info.min_length or 1, 1), info.max_length)
            return length.flatmap(
                lambda n: st.tuples(st.sampled_from(first), st.text(rest, min_size=n - 1, max_size=n - 1)).map("".join)
            )
        case mi.BytesType():
            return st.binary(min_size=info.min_length or 0, max_size=_cap(info.max_length))
        case mi.VarTupleType():
            return st.lists(_strategy(info.item_type), max_size=min(info.max_length, 4)).map(tuple)
        case mi.DictType():
            keys, values = _strategy(info.key_type), _strategy(info.value_type)
            return st.dictionaries(keys, values, max_size=min(info.max_length, 4))
        case mi.UnionType():
            return st.one_of(*(_strategy(part) for part in info.types))
    raise AssertionError(f"{info} has no bound: every field of a message must have one")


def _cap(length: int | None) -> int:
    assert length is not None, "an unbounded field in a message"
    return min(length, 64)
