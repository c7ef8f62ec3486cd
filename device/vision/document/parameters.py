"""Thresholds of the document reader that belong to no network: `models/document.toml`, one table for each user.

In: the name of a table. Out: its numbers. The file says beside each number why it is so, or which command measured it.
"""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Mapping
from functools import cache

from device.errors import ConfigurationError


@cache
def parameters(table: str) -> Mapping[str, float]:
    """The numbers of one table.

    Raises:
        ConfigurationError: the file or the table is missing, or holds something else than numbers.
    """
    try:
        text = importlib.resources.files("models").joinpath("document.toml").read_text(encoding="utf-8")
        values = tomllib.loads(text)[table]
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"models/document.toml has no readable table [{table}]: reinstall vouchbox") from error
    if not isinstance(values, dict) or not all(type(value) in (int, float) for value in values.values()):
        raise ConfigurationError(f"models/document.toml: [{table}] must hold numbers only: reinstall vouchbox")
    return {name: float(value) for name, value in values.items()}
