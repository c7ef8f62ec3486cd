"""Every exception that Vouchbox raises on purpose, split by who has to act.

An attack, a mismatch or an unreadable document is a *result* (`device.protocol.Reason`) and never an exception:
these classes are for the operator, the technician and the developer. The text of each says what is wrong
and what to do about it; the CLI prints it as one line and exits with `exit_code`.
"""

from __future__ import annotations


class VouchboxError(Exception):
    """Base of all. Never raised itself."""

    exit_code = 2


class ConfigurationError(VouchboxError):
    """A configuration file, policy or command-line value is wrong: the operator has to change it."""


class InputError(VouchboxError):
    """A file or value given by the caller is missing, unreadable, too large or not what it should be."""


class CameraError(VouchboxError):
    """The camera cannot be opened or has stopped: the technician has to look at it."""


class ModelError(VouchboxError):
    """A model file is missing, has the wrong hash or the wrong tensors: `vouchbox models verify` tells which."""


class KeyStoreError(VouchboxError):
    """The signing key is missing, locked or refused: nothing can be signed until it is back."""


class LedgerError(VouchboxError):
    """The ledger cannot be written or does not verify: no verdict may be given out."""


class PeerError(VouchboxError):
    """Another Vouchbox process is absent, gone or not who it should be."""


class ProtocolViolation(PeerError):
    """A peer sent what the protocol does not allow. The connection is over."""


class ChannelClosed(PeerError):
    """The peer closed the connection or died."""


class ChannelTimeout(PeerError):
    """The peer did not answer in time."""
