"""An S3 server on this machine, for as long as its standard input is open; prints its port.

Run by the fixture of these tests, which therefore leaves no server behind, however they end. Besides S3 it answers:

- ``POST /-/faults`` with ``[["PUT", "lost"], ...]``: what happens to the next requests of these methods
- ``GET /-/requests``: methods and paths that came since it was last asked
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Iterable
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

BUCKET = "retailer"
ERROR = "<Error><Code>{}</Code><Message>made for a test</Message></Error>"


class Handler(WSGIRequestHandler):
    # Connections stay open, as those to S3 do.
    protocol_version = "HTTP/1.1"


class Server:
    """moto's S3, with its answers counted, and some of them lost or refused."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._one_at_a_time = threading.Lock()
        self._requests: list[tuple[str, str]] = []
        self._faults: list[tuple[str, str]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        if request.path == "/-/faults":
            self._faults = [tuple(fault) for fault in json.loads(request.get_data())]
            return Response("")(environ, start_response)
        if request.path == "/-/requests":
            seen, self._requests = self._requests, []
            return Response(json.dumps(seen))(environ, start_response)
        self._requests.append((request.method, request.full_path))
        fault = next((fault for fault in self._faults if fault[0] == request.method), None)
        if fault is None:
            return self._answer(environ, start_response)
        self._faults.remove(fault)
        return _FAULTS[fault[1]](self, environ)(environ, start_response)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "PUT":
            return self._moto(environ, start_response)
        # S3 decides on conditional writes one after the other; moto looks and writes in two steps.
        with self._one_at_a_time:
            return list(self._moto(environ, start_response))

    def lost(self, environ: dict[str, Any]) -> Response:
        """Do it, and say that it failed."""
        list(self._answer(environ, lambda *_: None))
        return Response(ERROR.format("InternalError"), 500)

    def conflict(self, environ: dict[str, Any]) -> Response:
        """Somebody else is writing under this name, who will not come to an end."""
        del environ
        return Response(ERROR.format("ConditionalRequestConflict"), 409)

    def denied(self, environ: dict[str, Any]) -> Response:
        """Refuse."""
        del environ
        return Response(ERROR.format("AccessDenied"), 403)


_FAULTS = {"lost": Server.lost, "conflict": Server.conflict, "denied": Server.denied}


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket(BUCKET, "us-east-1")
    server = make_server("127.0.0.1", 0, Server(), threaded=True, request_handler=Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.port, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
