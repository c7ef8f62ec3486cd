"""What the key stores whose key lies in a device have in common: one command at a time, a new start after a failure.

In: a folder with `chain.pem`. Out: a `KeyStore` whose subclasses say only how the device is reached and how it signs.
"""

from __future__ import annotations

import abc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cryptography import x509

from device.certificates import Purpose
from device.errors import KeyStoreError
from device.notary.keystore.base import KeyStore
from device.notary.keystore.file import read_chain

Answer = TypeVar("Answer")


class HardwareKeyStore(KeyStore):
    """A key that a device keeps.

    Args:
        folder: holds `chain.pem`.
        purpose: what the certificate must allow.
    """

    def __init__(self, folder: Path, purpose: Purpose) -> None:
        super().__init__(purpose)
        self._folder = folder
        self._lock = threading.Lock()  # a TPM context and a PKCS #11 session each take one command at a time

    @abc.abstractmethod
    def _open(self) -> None:
        """Reaches the device and the key in it, unless that is done. May raise anything."""

    @abc.abstractmethod
    def _drop(self) -> None:
        """Lets go of the device, whatever state it is in; raises nothing."""

    def _load(self) -> tuple[x509.Certificate, ...]:
        chain = read_chain(self._folder)
        with self._lock:
            self._ready()
        return chain

    def _ready(self) -> None:
        try:
            self._open()
        except KeyStoreError:
            self._drop()
            raise
        except Exception as error:
            self._drop()
            raise KeyStoreError(
                f"{self.description} cannot be loaded: {words(error)}; if it stays so, enrol the box again"
            ) from error

    def _ask(self, command: Callable[[], Answer]) -> Answer:
        """One command; after a failure the device is opened anew the next time."""
        with self._lock:
            self._ready()
            try:
                return command()
            except KeyStoreError:
                raise  # what the store itself found; the device answered
            except Exception as error:
                self._drop()
                raise KeyStoreError(f"{self.description}: {words(error)}") from error

    def close(self) -> None:
        with self._lock:
            self._drop()


def words(error: Exception) -> str:
    """What an error says, and its kind: the exceptions of these libraries often have no text."""
    return f"{type(error).__name__} {error}".strip()
