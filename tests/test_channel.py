"""The channel over real sockets: framing, limits, order, peers."""

import logging
import os
import socket
import struct
import threading

import pytest

from device import channel as ch
from device import protocol as p
from device.errors import ChannelClosed, ChannelTimeout, PeerError, ProtocolViolation

READY = p.VisionReady(p.CameraKind.EMULATED, "test", {})
PROGRESS = p.Progress(p.Stage.DOCUMENT, p.Guidance.SHOW_DOCUMENT, 10)
FINISHED = p.Finished(())


@pytest.fixture
def ends():
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    yield left, right
    left.close()
    right.close()


def notary_side(connection, budget=None):
    return ch.Channel(
        connection, decoder=p.VISION_MESSAGES, incoming=p.FROM_VISION, outgoing=p.TO_VISION, incoming_budget=budget
    )


def vision_side(connection):
    return ch.Channel(connection, decoder=p.NOTARY_ORDERS, incoming=p.TO_VISION, outgoing=p.FROM_VISION)


def test_a_conversation_in_order(ends):
    vision, notary = vision_side(ends[0]), notary_side(ends[1])
    for message in (READY, PROGRESS, PROGRESS, FINISHED):
        vision.send(message)
        assert notary.receive(1) == message
    assert notary.bytes_received == vision.bytes_sent > 0


def test_messages_arrive_whole_however_the_kernel_cuts_them(ends):
    notary = notary_side(ends[1])
    raw = p.encode(READY)
    framed = struct.pack(">H", len(raw)) + raw

    def dribble():
        for byte in framed:
            ends[0].sendall(bytes([byte]))

    thread = threading.Thread(target=dribble)
    thread.start()
    assert notary.receive(2) == READY
    thread.join()


def test_out_of_order_ends_the_connection_with_a_logged_reason(ends, caplog):
    notary = notary_side(ends[1])
    raw = p.encode(PROGRESS)  # before VisionReady
    ends[0].sendall(struct.pack(">H", len(raw)) + raw)
    with caplog.at_level(logging.ERROR), pytest.raises(ProtocolViolation, match="out of order"):
        notary.receive(1)
    assert "broke the protocol" in caplog.text
    assert ends[0].recv(1) == b""  # our side hung up


def test_nothing_may_follow_the_last_message(ends):
    vision, notary = vision_side(ends[0]), notary_side(ends[1])
    vision.send(READY)
    vision.send(FINISHED)
    with pytest.raises(ProtocolViolation, match="out of order"):
        vision.send(PROGRESS)
    assert notary.receive(1) == READY


def test_oversized_is_refused_before_it_is_read(ends):
    notary = notary_side(ends[1])
    ends[0].sendall(struct.pack(">H", 4097))
    with pytest.raises(ProtocolViolation, match="4097"):
        notary.receive(1)


def test_more_bytes_than_the_budget_are_refused(ends):
    vision, notary = vision_side(ends[0]), notary_side(ends[1], budget=200)
    vision.send(READY)
    notary.receive(1)
    for _ in range(8):
        vision.send(PROGRESS)

    def drain():
        while True:
            notary.receive(1)

    with pytest.raises(ProtocolViolation, match="more than 200 bytes"):
        drain()


def test_unknown_bytes_are_refused(ends):
    notary = notary_side(ends[1])
    ends[0].sendall(struct.pack(">H", 3) + b"\x00\x01\x02")
    with pytest.raises(ProtocolViolation):
        notary.receive(1)


def test_silence_is_a_timeout_and_the_channel_lives_on(ends):
    vision, notary = vision_side(ends[0]), notary_side(ends[1])
    with pytest.raises(ChannelTimeout):
        notary.receive(0.05)
    vision.send(READY)
    assert notary.receive(1) == READY


def test_a_peer_that_dies_in_mid_message_is_noticed(ends):
    notary = notary_side(ends[1])
    ends[0].sendall(struct.pack(">H", 100) + b"abc")
    ends[0].close()
    with pytest.raises(ChannelClosed):
        notary.receive(1)


def test_closing_wakes_a_waiting_thread(ends):
    notary = notary_side(ends[1])
    outcome = []

    def wait():
        try:
            notary.receive(5)
        except PeerError as error:
            outcome.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    notary.close()
    thread.join(2)
    assert not thread.is_alive()
    assert isinstance(outcome[0], ChannelClosed)


def test_the_kernel_names_the_peer(tmp_path):
    listener = ch.listen(tmp_path / "s.sock")
    client = ch.connect(tmp_path / "s.sock")
    served, _ = listener.accept()
    assert ch.require_peer(served, frozenset({os.geteuid()})).pid == os.getpid()
    with pytest.raises(PeerError, match="may not connect"):
        ch.require_peer(served, frozenset({os.geteuid() + 1}))
    client.close()
    listener.close()


def test_the_socket_is_closed_to_other_users(tmp_path):
    listener = ch.listen(tmp_path / "s.sock")
    assert (tmp_path / "s.sock").stat().st_mode & 0o007 == 0
    listener.close()


def test_nobody_there_is_said_with_the_socket(tmp_path):
    with pytest.raises(PeerError, match=r"nobody answers at .*none\.sock"):
        ch.connect(tmp_path / "none.sock")
