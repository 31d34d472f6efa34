"""Serve optuna-dashboard on this machine."""

from __future__ import annotations

import errno
import socketserver
from collections.abc import Callable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from tuner.errors import UsageError
from tuner.study.dashboard import wsgi_app

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
            raise UsageError(f"port {port} is taken; name another with --port, or 0 for a free one") from error
        raise
    with server:
        announce(f"http://{HOST}:{server.server_port}/dashboard")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
