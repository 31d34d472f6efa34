"""Serve an export on this machine, or for others with a token."""

from __future__ import annotations

import errno
import ipaddress
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.errors import MissingError, UsageError
from tuner.export.loaded import load
from tuner.workflows.serving import port_taken, serve_until_interrupted

if TYPE_CHECKING:
    import uvicorn

HOST = "127.0.0.1"
N_TOKEN_BYTES = 24
MEGABYTE = 1024 * 1024
WAIT_S = 0.02
SHUTDOWN_S = 5


def serve(
    export: Path,
    *,
    announce: Callable[[str], None],
    host: str = HOST,
    port: int = 8000,
    token: str | None = None,
    max_mb: float = 10.0,
    allow_code: bool = False,
) -> None:
    """Serve until interrupted; `announce` is told the address of the page once it answers.

    Other machines reach it only with a token: for another `host` than this machine's own one is made up. Raises
    MissingError when the packages of the extra are not installed, UsageError when the port is taken.
    """
    try:
        import uvicorn

        from tuner.service.app import Limits, create_app
    except ModuleNotFoundError as error:
        raise MissingError(f'tuner app needs {error.name}: pip install "tuner[app]"') from error
    is_local = _is_loopback(host)
    token = token or (None if is_local else secrets.token_urlsafe(N_TOKEN_BYTES))
    model = load(export, allow_code=allow_code)
    limits = Limits(max_bytes=int(max_mb * MEGABYTE))
    app = create_app(model, limits=limits, token=token, any_host=not is_local)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=SHUTDOWN_S, server_header=False
    )
    with _bound(host, port) as bound:
        at = bound.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{at}/" + (f"?token={token}" if token else "")
        _run(uvicorn.Server(config), bound, announce=lambda: announce(address))


def _run(server: uvicorn.Server, bound: socket.socket, announce: Callable[[], None]) -> None:
    """In a thread: in the main one the server would handle signals itself."""
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)

    def start() -> None:
        thread.start()
        while thread.is_alive() and not server.started:
            thread.join(WAIT_S)
        announce()

    def stop() -> None:
        server.should_exit = True
        thread.join(SHUTDOWN_S + 1)

    serve_until_interrupted(start, stop)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise port_taken(port) from error
        raise UsageError(f"{host}: no address of this machine ({error.strerror}); 127.0.0.1 is always one") from error
    return bound


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
