"""Which key signs: the production key for light on a sensor, the development key for everything else.

In: the configuration. Out: `Keys`, which gives the store for a kind of camera. The two stores are folders, handles or
slots apart, and each checks that its certificate is for what it is used for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from device.certificates import Purpose
from device.config import Config
from device.errors import ConfigurationError, KeyStoreError
from device.notary.keystore.base import KeyStore
from device.notary.keystore.file import FileKeyStore
from device.protocol import CameraKind


@dataclass(frozen=True)
class Keys:
    """`production` is None on a box that was never enrolled, `development` on one where it has been destroyed."""

    production: KeyStore | None
    development: KeyStore | None

    def for_camera(self, camera: CameraKind) -> KeyStore:
        """The store that signs what this kind of camera saw.

        An emulated camera never gets the production key. A live one gets it wherever there is one, even if it is out
        of order: a box in production does not fall back to development verdicts without anyone noticing.

        Raises:
            KeyStoreError: there is no such key.
        """
        if camera is CameraKind.LIVE and self.production is not None:
            return self.production
        if self.development is not None:
            return self.development
        raise KeyStoreError(f"no key signs verdicts of a camera that is {camera}; enrol the box")

    @property
    def stores(self) -> tuple[KeyStore, ...]:
        """Those that there are."""
        return tuple(store for store in (self.production, self.development) if store is not None)


def open_keys(config: Config) -> Keys:
    """The stores that `notary.keystore` names; the keys are touched only when they are first needed.

    Raises:
        ConfigurationError: no such kind of key store.
    """
    folder = config.state / "keys"
    development = folder / "development"
    allowed = config.sealed is None and development.is_dir()  # a sealed box signs for nothing that is emulated
    return Keys(
        production=_production(config.notary.keystore, folder / "production"),
        development=FileKeyStore(development, Purpose.DEVELOPMENT) if allowed else None,
    )


def _production(name: str, folder: Path) -> KeyStore | None:
    kind, _, rest = name.partition(":")
    if kind == "file":
        place = Path(rest) if rest else folder
        return FileKeyStore(place, Purpose.PRODUCTION) if rest or place.is_dir() else None
    if kind == "sealed" and not rest:
        from device.notary.keystore.sealed import SealedKeyStore

        return SealedKeyStore(folder, Purpose.PRODUCTION)
    if kind == "tpm":
        from device.notary.keystore.tpm import TpmKeyStore

        return TpmKeyStore(folder, Purpose.PRODUCTION, rest)
    if kind == "pkcs11":
        from device.notary.keystore.pkcs11 import Pkcs11KeyStore, parse_uri

        return Pkcs11KeyStore(folder, Purpose.PRODUCTION, parse_uri(name))
    raise ConfigurationError(f"notary.keystore {name!r}: use file, file:FOLDER, sealed, tpm, tpm:TCTI or a pkcs11: URI")
