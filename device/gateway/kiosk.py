"""The kiosk page: what the person in front of the box sees and answers.

In: requests from the browser on the box itself. Out: the page in the person's language, a stream of `KioskView`s, and
the person's yes, no, stop or wish for more time, handed to the notary. Guarded three ways: the caller is this machine,
the page was addressed by a name of this machine (so that no web site can rebind its own name to the box), and an answer
comes from the same origin with the token of this very verification.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Annotated, Final

import msgspec
from flask import Blueprint, Response, render_template, request, send_from_directory
from msgspec import Meta

from device.errors import PeerError
from device.gateway.app import Gateway, from_this_machine
from device.gateway.events import MEDIA_TYPE, Events
from device.gateway.kiosk_view import IDLE, SCAN_IDLE, KioskView, kiosk_view
from device.gateway.languages import DEFAULT, Language, languages
from device.gateway.problems import Kind, Problem
from device.gateway.verifications import Verification
from device.gateway.voices import FOLDER, NAME, recorded
from device.qr import svg

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; media-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
PAGES: Final = 4  # kiosk pages open at the same moment: the box's own, and a technician's
NEWS_SECONDS: Final = 0.1  # how soon a page learns of a new verification
HEARTBEAT_SECONDS: Final = 5.0
SCAN_KNOWN_SECONDS: Final = 10.0
CODE_NAMES: Final = {"verdict": "Verdict", "proof": "Proof"}
STATIC: Final = Path(__file__).parent / "static"
SUFFIXES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page sends: which verification, its token, and for consent yes or no."""

    id: Annotated[str, Meta(max_length=80)]
    token: Annotated[str, Meta(max_length=64)]
    given: bool = False
    proof: bool = False


class Kiosk:
    """What the page's calls share."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._pages = 0
        self._scan = False
        self._asked_at = float("-inf")

    def view(self) -> tuple[Verification | None, int, KioskView]:
        """The newest verification, its snapshot's version, and what the page shows of it."""
        verification = self._gateway.verifications.newest()
        if verification is None:
            return None, 0, self._idle()
        snapshot = verification.snapshot
        view = kiosk_view(verification, snapshot, self._token(verification.id))
        if view is not IDLE:
            return verification, snapshot.version, view
        verification.forget_tokens()
        return verification, verification.snapshot.version, self._idle()

    def _idle(self) -> KioskView:
        """Whether there is a button for requests is asked seldom: it changes when a technician registers a key."""
        now = time.monotonic()
        if now - self._asked_at > SCAN_KNOWN_SECONDS:
            self._asked_at = now
            try:
                self._scan = self._gateway.notary.health().by_code
            except PeerError:
                self._scan = False
        return SCAN_IDLE if self._scan else IDLE

    def answered(self) -> tuple[Verification, Answer]:
        """The verification that the present request answers. Raises `Problem`."""
        guard_answer()
        try:
            answer = msgspec.json.decode(request.get_data(cache=False), type=Answer)
        except msgspec.ValidationError as error:
            raise Problem(Kind.INVALID_BODY, str(error)) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Problem(Kind.MALFORMED_JSON, str(error)) from error
        verification = self._gateway.verifications.newest()
        right = hmac.compare_digest(answer.token.encode(), self._token(answer.id).encode())
        if verification is None or verification.id != answer.id or not right:
            raise Problem(Kind.NOT_AT_THE_BOX, "This answer is not to what the page shows now.")
        return verification, answer

    def code(self, id: str, kind: str, index: int) -> str:
        """The drawing of one code of the newest verification, as long as it is shown. Raises `Problem`."""
        verification = self._gateway.verifications.newest()
        if verification is None or verification.id != id or kind not in CODE_NAMES:
            raise Problem(Kind.NOT_FOUND, "There is no such code.")
        snapshot = verification.snapshot
        texts = snapshot.verdict_codes if kind == "verdict" else snapshot.proof_codes
        if index >= len(texts):
            raise Problem(Kind.NOT_FOUND, "There is no such code.")
        return svg(texts[index], f"{CODE_NAMES[kind]} {index + 1}/{len(texts)}")

    def stream(self) -> Events:
        """The views, as they change. Raises `Problem` `too-many-streams`."""
        with self._lock:
            if self._pages >= PAGES:
                raise Problem(Kind.TOO_MANY_STREAMS, "Close another kiosk page first.", retry_after=5)
            self._pages += 1
        return Events(self._run(), self._leave)

    def _leave(self) -> None:
        with self._lock:
            self._pages -= 1

    def _run(self) -> Generator[bytes, None, None]:
        shown: KioskView | None = None
        spoke = time.monotonic()
        while not self._gateway.streams.stopping:
            verification, version, view = self.view()
            if view != shown:
                shown, spoke = view, time.monotonic()
                yield b"data: " + msgspec.json.encode(view) + b"\n\n"
            elif time.monotonic() - spoke >= HEARTBEAT_SECONDS:
                spoke = time.monotonic()
                yield b"event: alive\ndata: {}\n\n"
            if verification is not None and verification.snapshot.open:
                verification.wait(version, NEWS_SECONDS)
            else:
                time.sleep(NEWS_SECONDS)

    def _token(self, id: str) -> str:
        return hmac.new(self._secret, id.encode(), hashlib.sha256).hexdigest()


def guard_reader() -> None:
    """The caller is a browser on this machine, looking at an address of this machine. Raises `Problem`."""
    host = request.host.rpartition(":")[0] if request.host.rpartition("]")[2].count(":") else request.host
    if not from_this_machine() or host not in ("localhost", "127.0.0.1", "[::1]"):
        raise Problem(Kind.NOT_AT_THE_BOX, "The kiosk page is for the screen of the box.")
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise Problem(Kind.NOT_AT_THE_BOX, "Another site may not use the kiosk page.")


def guard_answer() -> None:
    """And the answer was sent by the page itself. Raises `Problem`."""
    guard_reader()
    if request.headers.get("Origin") != request.host_url.rstrip("/"):
        raise Problem(Kind.NOT_AT_THE_BOX, "An answer has to come from the kiosk page.")
    if request.mimetype != "application/json":
        raise Problem(Kind.UNSUPPORTED_MEDIA_TYPE, "Send `Content-Type: application/json`.")


def chosen_language(wanted: str | None) -> str:
    """The language of the page: as asked for, else the first of the browser's that there is, else English."""
    known = languages()
    if wanted in known:
        return str(wanted)
    if "zh" in (request.accept_languages.best or "").lower():
        traditional = ("tw", "hk", "mo", "hant")
        return "zh-Hant" if any(t in (request.accept_languages.best or "").lower() for t in traditional) else "zh-Hans"
    for offered, _ in request.accept_languages:
        if offered.partition("-")[0].lower() in known:
            return offered.partition("-")[0].lower()
    return DEFAULT


def page_texts(language: Language, recorded: bool) -> str:
    """What the script needs of a language, as JSON that is safe inside a script element."""
    texts = {
        "text": language.text,
        "stage": language.stage,
        "guidance": language.guidance,
        "explanation": language.explanation,
        "attribute": language.attribute,
        "voice": language.voice,
        "recorded": recorded,
    }
    return msgspec.json.encode(texts).decode().replace("<", "\\u003c")


def blueprint(gateway: Gateway) -> Blueprint:
    """The page and its calls."""
    calls = Blueprint("kiosk", __name__, template_folder="templates")
    kiosk = Kiosk(gateway)
    languages()  # an incomplete one is an error at start

    @calls.get("/")
    def page() -> Response:
        guard_reader()
        code = chosen_language(request.args.get("lang"))
        language = languages()[code]
        texts = page_texts(language, recorded(gateway.config.state, code))
        html = render_template("kiosk.html", code=code, language=language, languages=languages(), texts=texts)
        return Response(html, mimetype="text/html", headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})

    @calls.get("/kiosk/<name>")
    def file(name: str) -> Response:
        guard_reader()
        kind = SUFFIXES.get(Path(name).suffix)
        if kind is None:
            raise Problem(Kind.NOT_FOUND, "The page has no such part.")
        return send_from_directory(STATIC, name, mimetype=kind, etag=False, max_age=None)

    @calls.get("/kiosk/voice/<code>/<name>.wav")
    def voice(code: str, name: str) -> Response:
        guard_reader()
        if code not in languages() or not NAME.fullmatch(name):
            raise Problem(Kind.NOT_FOUND, "There is no such recording.")
        folder = (gateway.config.state / FOLDER / code).absolute()
        return send_from_directory(folder, f"{name}.wav", mimetype="audio/wav", etag=False, max_age=None)

    @calls.get("/kiosk/events")
    def events() -> Response:
        guard_reader()
        if request.method == "HEAD":
            return Response(mimetype=MEDIA_TYPE)
        return Response(kiosk.stream(), mimetype=MEDIA_TYPE)

    @calls.post("/kiosk/consent")
    def consent() -> Response:
        verification, answer = kiosk.answered()
        verification.consent(answer.given, answer.proof)
        return Response(status=204)

    @calls.post("/kiosk/more")
    def more() -> Response:
        verification, _ = kiosk.answered()
        verification.give_more_time()
        return Response(status=204)

    @calls.post("/kiosk/scan")
    def scan() -> Response:
        guard_answer()
        gateway.verifications.open_by_code()
        return Response(status=204)

    @calls.post("/kiosk/done")
    def done() -> Response:
        verification, _ = kiosk.answered()
        verification.forget_tokens()
        return Response(status=204)

    @calls.get("/kiosk/code/<id>/<kind>/<int:index>.svg")
    def code(id: str, kind: str, index: int) -> Response:
        guard_reader()
        return Response(kiosk.code(id, kind, index), mimetype="image/svg+xml")

    @calls.post("/kiosk/stop")
    def stop() -> Response:
        verification, _ = kiosk.answered()
        verification.cancel()
        return Response(status=204)

    return calls
