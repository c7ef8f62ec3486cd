"""The box that tests of the notary start with."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from device.config import BoxConfig, Config, NotaryConfig, write_config
from provisioning.authority import ensure_development_identity
from tests.notary.peers import Box, ScriptedVision


@pytest.fixture
def box() -> Iterator[Box]:
    folder = Path(tempfile.mkdtemp(prefix="vb"))  # short: a Unix socket's path has at most 107 bytes
    config = Config(
        box=BoxConfig(runtime=str(folder / "run"), state=str(folder / "state")),
        notary=NotaryConfig(consent_seconds=10, issuer="urn:example:box"),
    )
    config.runtime.mkdir()
    identity = ensure_development_identity(config.state)
    config_file = folder / "config.toml"
    write_config(config, config_file)
    box = Box(
        config,
        config_file,
        x509.load_pem_x509_certificate(identity.root.read_bytes()),
        ScriptedVision(config.vision_socket),
    )
    yield box
    box.close()
    shutil.rmtree(folder)
