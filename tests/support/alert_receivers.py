"""Receivers of alerts on this machine: a mail server, and an HTTP server that keeps what is posted.

What belongs here: receiving, and failing as told. What does not: what should be sent.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope


@dataclass
class Post:
    """A request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """What an HTTP server was sent, and how it answers."""

    port: int = 0
    status: int = 202
    waits_seconds: float = 0.0
    posts: list[Post] = field(default_factory=list)

    def address(self, kind: str, rest: str = "") -> str:
        return f"{kind}+http://127.0.0.1:{self.port}{rest}"


@contextmanager
def http_receiver() -> Iterator[Receiver]:
    """Receive what is posted until the block ends."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.posts.append(Post(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            time.sleep(receiver.waits_seconds)
            self.send_response(receiver.status)
            self.send_header("location", "http://127.0.0.1:1/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_port
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Keeping:
    def __init__(self) -> None:
        self.mails: list[tuple[Envelope, EmailMessage]] = []

    async def handle_DATA(  # noqa: N802 - as aiosmtpd calls it
        self, _server: object, _session: object, envelope: Envelope
    ) -> str:
        import email.policy

        message = email.message_from_bytes(bytes(envelope.content or b""), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append((envelope, message))
        return "250 OK"


@dataclass
class MailReceiver:
    """What a mail server was sent."""

    port: int
    mails: list[tuple[Envelope, EmailMessage]]


@contextmanager
def mail_receiver(**options: Any) -> Iterator[MailReceiver]:
    """Run a mail server until the block ends; options as aiosmtpd's."""
    from tests.support.mirrors import free_port

    keeping = _Keeping()
    controller = Controller(keeping, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield MailReceiver(controller.port, keeping.mails)
    finally:
        controller.stop()
