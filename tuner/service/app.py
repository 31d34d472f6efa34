"""The HTTP application around one exported model.

    GET  /            the page
    GET  /health      whether it answers
    GET  /model       what the model is, and what it takes
    POST /predict     {"inputs": ...} as JSON, or files: as the body itself, or as a form
    POST /generate    what a language model of characters writes
    GET  /openapi.json

Every error is {"error": {"kind", "message"}}; none of them ends the server.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from tuner.errors import DataError, TunerError, UsageError
from tuner.export.loaded import LoadedModel
from tuner.service.answers import answers
from tuner.service.description import description
from tuner.service.reading import Upload, inputs_of_files, inputs_of_json, object_of

PAGE = Path(__file__).parent / "page"
PAGE_FILES = {"/": "index.html", "/app.css": "app.css", "/app.js": "app.js", "/icon.svg": "icon.svg"}
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
MAX_DRAINED = 256 * 1024 * 1024
"""Bytes of a request that is too large that are read and thrown away, so that the sender gets to see the answer."""
MAX_FILES = 100
MAX_GENERATED = 2000
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address of the page may hold the token
    "Cache-Control": "no-store",
}
_STATUS = {DataError: 422, UsageError: 400}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {"inputs": {"description": "As the training data gave them; see /model."}},
                }
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}

_log = logging.getLogger("tuner.service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may ask for."""

    max_bytes: int = 10 * 1024 * 1024
    max_rows: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Service:
    model: LoadedModel
    limits: Limits
    lock: Lock = field(default_factory=Lock)
    """One prediction at a time: each uses all cores."""

    def predicted(self, source: Any) -> list[dict[str, Any]]:
        n_rows = 1 if isinstance(source, str) else len(source)
        if n_rows > self.limits.max_rows:
            raise UsageError(f"inputs: {n_rows} rows; expected at most {self.limits.max_rows} a request")
        with self.lock:
            return answers(self.model, source)

    def generated(self, options: dict[str, Any]) -> str:
        known: dict[str, tuple[type, ...]] = {
            "prompt": (str,),
            "n": (int,),
            "temperature": (int, float),
            "seed": (int,),
        }
        for name, value in options.items():
            if name not in known or not isinstance(value, known[name]) or isinstance(value, bool):
                raise UsageError(f"{name}: expected prompt (a text), n, temperature or seed (numbers)")
        options = {"prompt": "", "n": 200, **options}
        if not 0 < options["n"] <= MAX_GENERATED:
            raise UsageError(f"n: {options['n']}; expected 1 to {MAX_GENERATED}")
        with self.lock:
            return self.model.generate(options.pop("prompt"), options.pop("n"), **options)


class _TooLargeError(Exception):
    pass


def create_app(
    model: LoadedModel, *, limits: Limits | None = None, token: str | None = None, any_host: bool = False
) -> FastAPI:
    """The application.

    With a `token` every request but those for the page's own files needs `Authorization: Bearer TOKEN`. Unless
    `any_host`, requests that name another host than this machine are refused: a page elsewhere could send them through
    the browser of whoever looks at it.
    """
    limits = limits or Limits()
    service = _Service(model=model, limits=limits)
    bundle = model.bundle
    app = FastAPI(title=f"{bundle.study}, trial {bundle.trial}", docs_url=None, redoc_url=None)
    _add_guard(app, token, any_host=any_host)
    _add_errors(app, limits)
    _add_page(app)
    _add_api(app, service)
    return app


def _add_guard(app: FastAPI, token: str | None, *, any_host: bool) -> None:
    @app.middleware("http")
    async def guard(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        response = _refusal(request, token, any_host=any_host) or await go_on(request)
        response.headers.update(HEADERS)
        return response


def _refusal(request: Request, token: str | None, *, any_host: bool) -> JSONResponse | None:
    host = request.url.hostname
    if not any_host and host not in LOCAL_HOSTS:
        return _error(403, "host", f"{host}: this server answers to {' and '.join(LOCAL_HOSTS)} only; see --host")
    if token is None or request.url.path in PAGE_FILES:
        return None
    given = request.headers.get("authorization", "").partition("Bearer ")[2]
    if secrets.compare_digest(given.encode(), token.encode()):
        return None
    return _error(401, "token", "this server needs its token, Authorization: Bearer TOKEN; it was printed at the start")


def _error(status: int, kind: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"kind": kind, "message": message}}, status_code=status)


def _add_errors(app: FastAPI, limits: Limits) -> None:
    @app.exception_handler(TunerError)
    async def of_input(_request: Request, error: TunerError) -> JSONResponse:
        return _error(_STATUS.get(type(error), 500), error.kind, error.message)

    @app.exception_handler(_TooLargeError)
    async def of_size(_request: Request, _error_of_size: _TooLargeError) -> JSONResponse:
        most = limits.max_bytes / 1024 / 1024
        return _error(413, "too_large", f"larger than {most:g} MB; send less, or start with a higher --max-mb")

    @app.exception_handler(Exception)
    async def of_anything(_request: Request, error: Exception) -> JSONResponse:
        _log.error("a request failed", exc_info=error)
        return _error(500, "internal", f"the model failed: {type(error).__name__}; the server's output says where")

    @app.exception_handler(404)
    async def of_path(request: Request, _error_of_path: Exception) -> JSONResponse:
        return _error(404, "not_found", f"{request.url.path}: not here; there are /predict, /health and /model")


def _add_page(app: FastAPI) -> None:
    for path, name in PAGE_FILES.items():

        def page(file: Path = PAGE / name) -> FileResponse:
            return FileResponse(file)

        app.get(path, include_in_schema=False)(page)


def _add_api(app: FastAPI, service: _Service) -> None:
    model, limits = service.model, service.limits

    @app.get("/health")
    def health() -> dict[str, str]:
        """Whether the server answers."""
        return {"status": "ok"}

    @app.get("/model")
    def described() -> dict[str, Any]:
        """What the model is, and what it takes."""
        return description(model, max_bytes=limits.max_bytes, max_rows=limits.max_rows)

    @app.post("/predict", openapi_extra=_BODY)
    async def predict(request: Request) -> dict[str, Any]:
        """Predict: one answer a row or file."""
        source = await _source(request, service)
        return {"predictions": await run_in_threadpool(service.predicted, source)}

    @app.post("/generate")
    async def generate(request: Request) -> dict[str, str]:
        """What a language model of characters writes after a prompt."""
        options = object_of(await _body(request, limits.max_bytes))
        return {"text": await run_in_threadpool(service.generated, options)}


async def _source(request: Request, service: _Service) -> Any:
    encoder = service.model.preprocess.encoder
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await _body(request, service.limits.max_bytes)
    if kind == "application/json":
        return await run_in_threadpool(inputs_of_json, body, encoder)
    files = await _files(request, body) if kind == "multipart/form-data" else [Upload(name="the body", content=body)]
    return await run_in_threadpool(inputs_of_files, files, encoder)


async def _body(request: Request, max_bytes: int) -> bytes:
    """The whole body, if it is not too large; a chunk at a time, since nothing says beforehand how large it is."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= max_bytes:
            chunks.append(chunk)
        else:
            chunks.clear()
        if size > MAX_DRAINED:
            break
    if size > max_bytes:
        raise _TooLargeError
    return b"".join(chunks)


async def _files(request: Request, body: bytes) -> list[Upload]:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield body
        yield b""

    try:
        form = await MultiPartParser(request.headers, chunks(), max_files=MAX_FILES).parse()
    except (MultiPartException, KeyError) as error:
        raise UsageError(f"the form cannot be read ({error}); send files as fields of a form") from error
    uploads = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    return [Upload(name=part.filename or "file", content=await part.read()) for part in uploads]
