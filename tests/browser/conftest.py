"""One Chromium for a module, and the gateway beside a scripted notary, as tests/gateway has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway.conftest import box, config, folder, limits

__all__ = ["box", "browser", "config", "folder", "limits"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from tests.browser.screen import chromium

    with chromium() as browser:
        yield browser
