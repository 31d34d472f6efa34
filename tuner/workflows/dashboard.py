"""Serve optuna-dashboard on this machine."""

from __future__ import annotations

import errno
import socketserver
from collections.abc import Callable
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from tuner.study.dashboard import wsgi_app
from tuner.workflows.serving import port_taken, serve_until_interrupted

HOST = "127.0.0.1"


class _ThreadingServer(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """The page asks for news every few seconds: nobody wants a line for each."""


def serve(storage: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve until interrupted; `announce` is told the address once it answers."""
    app = wsgi_app(storage)
    try:
        server = make_server(HOST, port, app, server_class=_ThreadingServer, handler_class=_QuietHandler)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise port_taken(port) from error
        raise

    def start() -> None:
        Thread(target=server.serve_forever, daemon=True).start()
        announce(f"http://{HOST}:{server.server_port}/dashboard")

    with server:
        serve_until_interrupted(start, server.shutdown)
