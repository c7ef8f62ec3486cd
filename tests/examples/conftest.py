"""The gateway beside a scripted notary, as tests/gateway has it."""

from tests.gateway.conftest import box, config, folder, limits

__all__ = ["box", "config", "folder", "limits"]
