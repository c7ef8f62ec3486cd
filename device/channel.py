"""One length-prefixed message stream over a Unix socket, with the protocol's limits and order enforced.

In: a connected stream socket. Out: decoded messages, or one of `ChannelClosed`, `ChannelTimeout`,
`ProtocolViolation`. A frame is a two-byte big-endian length and that many bytes of msgpack. Whatever breaks
the protocol (unknown, oversized, malformed, out of order, over budget) is logged with its reason and ends the
connection; there is no resynchronising.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from device.errors import ChannelClosed, ChannelTimeout, PeerError, ProtocolViolation
from device.protocol import MAX_MESSAGE, AnyMessage, Decoder, Message, Order, encode
from device.supervision import inherited_listener

log = logging.getLogger(__name__)

_PREFIX = struct.Struct(">H")
_UCRED = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))


@dataclass(frozen=True)
class Peer:
    """Who is at the other end, as the kernel says (SO_PEERCRED); None where the system has no such call."""

    pid: int | None
    uid: int | None


class Channel:
    """A conversation with one peer.

    Args:
        connection: a connected `AF_UNIX` stream socket; the channel owns it from now on.
        decoder: decodes what the peer may say.
        incoming: the order in which the peer may say it.
        outgoing: the order in which this side may speak (a wrong order here is a bug, and raises too).
        incoming_budget: bytes, prefixes included, that the peer may send in all; None for no limit.
    """

    def __init__(
        self,
        connection: socket.socket,
        *,
        decoder: Decoder,
        incoming: Order,
        outgoing: Order,
        incoming_budget: int | None = None,
    ) -> None:
        self._socket = connection
        self._decoder = decoder
        self._incoming, self._incoming_state = incoming, "start"
        self._outgoing, self._outgoing_state = outgoing, "start"
        self._budget = incoming_budget
        self._buffer = bytearray()
        self.bytes_sent = 0
        self.bytes_received = 0

    def fileno(self) -> int:
        """For `select`; a readable channel may still hold only part of a message."""
        return self._socket.fileno()

    def send(self, message: AnyMessage) -> None:
        """Raises `ChannelClosed` if the peer is gone, `ProtocolViolation` if this message may not be said now."""
        self._outgoing_state = _advance(self._outgoing, self._outgoing_state, message)
        data = encode(message)
        try:
            self._socket.settimeout(10.0)
            self._socket.sendall(_PREFIX.pack(len(data)) + data)
        except TimeoutError as error:
            raise ChannelTimeout("the peer does not read what it is sent") from error
        except OSError as error:
            raise ChannelClosed(f"the peer is gone: {error.strerror}") from error
        self.bytes_sent += _PREFIX.size + len(data)

    def receive(self, timeout: float | None = None) -> Message:
        """The next message.

        Args:
            timeout: seconds to wait for a whole message; None waits for ever.

        Raises:
            ChannelTimeout: none came; the channel is still good.
            ChannelClosed: the peer closed, or died in the middle of a message.
            ProtocolViolation: the peer broke the protocol; the connection has been closed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            message = self._decoder.decode(self._frame(deadline))
            self._incoming_state = _advance(self._incoming, self._incoming_state, message)
        except ProtocolViolation as error:
            log.error("connection ended, peer broke the protocol: %s", error)
            self.close()
            raise
        return message

    def _frame(self, deadline: float | None) -> bytes:
        self._fill(_PREFIX.size, deadline)
        (length,) = _PREFIX.unpack_from(self._buffer)
        if length > MAX_MESSAGE:
            raise ProtocolViolation(f"a message of {length} bytes; the limit is {MAX_MESSAGE}")
        total = _PREFIX.size + length
        if self._budget is not None and self.bytes_received + total > self._budget:
            raise ProtocolViolation(f"more than {self._budget} bytes in one conversation")
        self._fill(total, deadline)
        frame = bytes(self._buffer[_PREFIX.size : total])
        del self._buffer[:total]
        self.bytes_received += total
        return frame

    def _fill(self, size: int, deadline: float | None) -> None:
        while len(self._buffer) < size:
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                raise ChannelTimeout("no message in time")
            try:
                self._socket.settimeout(remaining)
                data = self._socket.recv(size - len(self._buffer))
            except TimeoutError as error:
                raise ChannelTimeout("no message in time") from error
            except OSError as error:
                raise ChannelClosed(f"the connection broke: {error.strerror}") from error
            if not data:
                raise ChannelClosed("the peer closed the connection")
            self._buffer += data

    def close(self) -> None:
        """Idempotent."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread of ours that waits in receive()
        except OSError:
            pass
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _advance(order: Order, state: str, message: Message) -> str:
    following = order.get(state, {}).get(type(message))
    if following is None:
        raise ProtocolViolation(f"{type(message).__name__} out of order (state {state or 'ended'!r})")
    return following


def peer_of(connection: socket.socket) -> Peer:
    """The process at the other end of a connected Unix socket, where the kernel can tell (Linux)."""
    if not sys.platform.startswith("linux"):
        return Peer(None, None)
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _gid = _UCRED.unpack(raw)
    return Peer(pid, uid)


def require_peer(connection: socket.socket, allowed_uids: frozenset[int]) -> Peer:
    """Raises `PeerError`, and closes, if the peer runs as none of the users allowed (not checked off Linux)."""
    peer = peer_of(connection)
    if peer.uid is not None and peer.uid not in allowed_uids:
        connection.close()
        raise PeerError(f"process {peer.pid} of user {peer.uid} may not connect here; allowed: {sorted(allowed_uids)}")
    return peer


def connect(path: Path, *, timeout: float = 5.0) -> socket.socket:
    """A stream connected to the socket at `path`. Raises `PeerError` naming the socket if nobody listens."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise PeerError(f"nobody answers at {path} ({error.strerror}); is that process running?") from error
    return connection


def listen(path: Path, *, backlog: int = 16) -> socket.socket:
    """A listening stream socket at `path`, readable and writable by its owner and group.

    Under systemd socket activation (sd_listen_fds(3)) the socket that systemd made is taken instead.
    """
    inherited = inherited_listener()
    if inherited is not None:
        # Who listened last is who the other end sees (SO_PEERCRED): until now that was systemd.
        inherited.listen(backlog)
        return inherited
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o117)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise PeerError(f"cannot listen at {path}: {error.strerror}") from error
    finally:
        os.umask(previous)
    listener.listen(backlog)
    return listener
