"""The HTTP server: cheroot, with TLS and with the manners that its defaults lack.

In: a WSGI application and where to listen. Out: a prepared server whose `serve()` runs until `stop()`.
What is added: errors that are found before the application runs (malformed HTTP, too long headers) are problem details
too; a request that does not arrive in time is dropped, TLS handshake included, so that slow callers cannot hold the
threads; a body must announce its length; no version is told. docs/decisions/0080 says why cheroot.
"""

from __future__ import annotations

import io
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from cheroot.connections import ConnectionManager
from cheroot.makefile import MakeFile
from cheroot.server import HTTPConnection, HTTPRequest, KnownLengthRFile
from cheroot.ssl import Adapter
from cheroot.wsgi import Server as WsgiServer

from device.errors import ConfigurationError
from device.gateway import problems
from device.gateway.limits import MAX_BODY, MAX_HEADER, Limits

log = logging.getLogger(__name__)

DRAIN_SECONDS: Final = 2.0
DRAIN_BYTES: Final = 1024 * 1024
STUCK_SECONDS: Final = 15.0
"""Longer than any request may take to arrive; event streams cannot take all the threads (limits.py)."""

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def _nothing() -> None:
    pass


class _Request(HTTPRequest):
    """One request, whose errors are problem details and whose body is here before the application is called."""

    def read_request_headers(self) -> bool:
        if not super().read_request_headers():  # type: ignore[no-untyped-call]
            return False
        if self.chunked_read:
            self.simple_response("411 Length Required", "Send the body with a Content-Length.")
            return False
        if not self.inheaders.get(b"Content-Length", b"0").isdigit():
            self.simple_response("400 Bad Request", "Malformed Content-Length.")
            return False
        return True

    def respond(self) -> None:
        length = int(self.inheaders.get(b"Content-Length", 0))
        body = self.conn.rfile.read(length)
        if len(body) < length:
            raise TimeoutError("the body did not arrive")
        self.conn.reading_since = None
        self.rfile = KnownLengthRFile(io.BytesIO(body), length)
        self.server.gateway(self).respond()
        if self.ready:
            self.ensure_headers_sent()
        if self.chunked_write:
            self.conn.wfile.write(b"0\r\n\r\n")

    def simple_response(self, status: str, msg: str = "") -> None:
        code = int(status[:3])
        if code == 413 and "headers" in msg:
            code, status = 431, "431 Request Header Fields Too Large"
        problem = problems.for_status(code, msg or status[4:])
        body = problem.body()
        self.close_connection = True
        head = (
            f"HTTP/1.1 {problem.kind.status} {status[4:]}\r\nContent-Type: {problems.MEDIA_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\nCache-Control: no-store\r\n"
            f"X-Content-Type-Options: nosniff\r\nServer: vouchbox\r\n\r\n"
        )
        try:
            self.conn.wfile.write(head.encode("latin-1") + body)
            self.conn.drain()
        except OSError:
            pass  # the caller is gone


class _Connection(HTTPConnection):
    """One connection; the server's clock looks at `reading_since`."""

    RequestHandlerClass = _Request
    reading_since: float | None = None
    greeted = False

    def communicate(self) -> bool:
        self.reading_since = time.monotonic()
        self.server.reading(self)
        try:
            if isinstance(self.socket, ssl.SSLSocket) and not self.greeted:
                self.socket.do_handshake()
                self.ssl_env = {"SSL_CLIENT_VERIFY": "SUCCESS"} if self.socket.getpeercert() else {}
            self.greeted = True
            return bool(super().communicate())  # type: ignore[no-untyped-call]
        except OSError:
            return False  # does not speak TLS, or is gone
        finally:
            self.server.done_reading(self)

    def drain(self) -> None:
        """Reads what a refused caller still sends, so that it gets to read why (a reset would take the answer away)."""
        self.socket.shutdown(socket.SHUT_WR)
        deadline, rest = time.monotonic() + DRAIN_SECONDS, DRAIN_BYTES
        self.socket.settimeout(DRAIN_SECONDS)
        while rest > 0 and time.monotonic() < deadline:
            data = self.socket.recv(min(rest, 65_536))
            if not data:
                return
            rest -= len(data)


class _Connections(ConnectionManager):
    """The accepting loop; it tells when it comes round, which it does twice a second."""

    def _expire(self, threshold: float) -> None:
        super()._expire(threshold)  # type: ignore[misc]
        self.server.turned = time.monotonic()


class _Tls(Adapter):
    """TLS 1.2 or later from PEM files; the handshake happens on a worker thread, never on the accepting one."""

    def __init__(self, certificate: str, private_key: str, operators: str) -> None:
        super().__init__(certificate, private_key)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            self.context.load_cert_chain(certificate, private_key)
            if operators:
                self.context.load_verify_locations(operators)
                self.context.verify_mode = ssl.CERT_OPTIONAL
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"cannot use the certificate {certificate} with the key {private_key}"
                + (f" and the operators' authority {operators}: {error}" if operators else f": {error}")
            ) from error

    def bind(self, sock: Any) -> Any:
        return sock

    def wrap(self, sock: Any) -> tuple[ssl.SSLSocket, dict[str, Any]]:
        return self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), {}

    def get_environ(self) -> dict[str, Any]:
        return {}

    def makefile(self, sock: Any, mode: str = "r", bufsize: int = -1) -> Any:
        return MakeFile(sock, mode, bufsize)


class Server(WsgiServer):
    """A server bound to one address.

    Args:
        address: host and port; port 0 takes a free one (`url` says which after `prepare()`).
        application: the WSGI application.
        limits: threads and deadlines.
        certificate, private_key: PEM files, or both empty for plain HTTP.
        listener: a bound socket to accept from (socket activation); `address` then is what it is bound to.
    """

    ConnectionClass = _Connection

    def __init__(
        self,
        address: tuple[str, int],
        application: WsgiApplication,
        limits: Limits,
        certificate: str,
        private_key: str,
        listener: socket.socket | None = None,
        operators: str = "",
    ) -> None:
        super().__init__(
            address,
            application,
            numthreads=limits.threads,
            server_name="vouchbox",
            # Who finds it full is not refused but sends again a second later: too long to wait for a state.
            request_queue_size=1024,
            timeout=round(limits.header_seconds),
            shutdown_timeout=3,
        )
        self.max_request_header_size = MAX_HEADER
        self.max_request_body_size = MAX_BODY
        self.keep_alive_conn_limit = 256
        if certificate:
            self.ssl_adapter = _Tls(certificate, private_key, operators)
        self._patience = limits.header_seconds
        self._listener = listener
        self.turned = time.monotonic()
        self._served = time.monotonic()
        self.on_turn: Callable[[], None] = _nothing
        """Called twice a second while requests are accepted and answered."""
        self._reading: set[_Connection] = set()
        self._reading_lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where it is to be found."""
        host, port = self.bind_addr[:2]
        name = f"[{host}]" if ":" in host else host
        return f"{'https' if self.ssl_adapter else 'http'}://{name}:{port}"

    def bind(self, family: int, type: int, proto: int = 0) -> socket.socket:
        if self._listener is None:
            return super().bind(family, type, proto)  # type: ignore[no-any-return]
        self.socket = self._listener
        return self._listener

    def prepare(self) -> None:
        super().prepare()
        self._connections.close()  # type: ignore[has-type]
        self._connections = _Connections(self)

    def reading(self, connection: _Connection) -> None:
        """A thread begins to read a request."""
        with self._reading_lock:
            self._reading.add(connection)

    def done_reading(self, connection: _Connection) -> None:
        """A thread is done with a request."""
        with self._reading_lock:
            self._reading.discard(connection)

    def process_conn(self, conn: HTTPConnection) -> None:
        if conn.last_used is None:
            self.put_conn(conn)  # a new connection takes a thread only once it says something
        else:
            super().process_conn(conn)

    def serve(self) -> None:
        threading.Thread(target=self._watch, name="late-requests", daemon=True).start()
        super().serve()

    def _watch(self) -> None:
        while self.ready:
            time.sleep(0.5)
            now = time.monotonic()
            if self._well(now):
                self.on_turn()
            with self._reading_lock:
                late = [c for c in self._reading if c.reading_since and now - c.reading_since > self._patience]
            for connection in late:
                try:
                    connection.socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # it has gone by itself

    def _well(self, now: float) -> bool:
        """Whether the loop comes round and not every thread has been busy, with callers waiting, for too long."""
        if self.requests.idle or not self.requests.qsize:
            self._served = now
        return now - self.turned < STUCK_SECONDS and now - self._served < STUCK_SECONDS

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        log.log(min(level, logging.WARNING), "%s", msg, exc_info=traceback and level >= logging.ERROR)
