"""The one error shape outside /v1's OpenAI door: `{"error": {"code", "message", "retry_after_s", "id"}}`.

Every refusal has an id that is also in its log line. Nothing of an exception is shown but a `ColloquyError`'s own
message.
"""

from __future__ import annotations

import asyncio
import math
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.backend.errors import BadField, ColloquyError, Foreign

log = structlog.get_logger(__name__)

_LINK = re.compile(r"^/s/[^/]*")
_INTERNAL = re.compile(r"function-\w+\[.*\]|\[key\]")
"""Parts of a place that pydantic adds to what was sent."""
TOO_LARGE = ("too_large", "The request is larger than this server accepts.")
CLOSING = "The server is shutting down; please try again in a minute."
_BY_STATUS = {
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not answer to this method."),
    408: ("too_slow", "The body of the request did not arrive in time; send it again."),
    413: TOO_LARGE,
    422: ("bad_input", "The body of the request cannot be read."),
}


class HttpError(Exception):
    """Something that is wrong with the request as HTTP, not with what it asks for."""

    def __init__(self, status: int, code: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


@contextmanager
def fields() -> Iterator[None]:
    """Says which field is wrong by the error's code, such as demo_name."""
    try:
        yield
    except BadField as error:
        raise HttpError(error.status, error.reason, error.message) from error


def error_response(error: ColloquyError | HttpError, scope: Scope) -> Response:
    """Log the error under a new id and put it into the shape."""
    error_id = secrets.token_hex(6)
    record = log.error if error.status == HTTPStatus.INTERNAL_SERVER_ERROR else log.info  # a 503 is no fault of ours
    if foreign := isinstance(error, Foreign):
        record = log.warning
    record(
        "foreign id" if foreign else "request refused",
        error_id=error_id,
        code=error.code,
        status=error.status,
        method=scope["method"],
        path=_logged(scope["path"]),
        owner=scope.get("state", {}).get("owner"),
    )
    return _shaped(error.status, error.code, error.message, error.retry_after_s, error_id)


def _logged(path: str) -> str:
    """A path as it may stand in the log: without what opens a share link."""
    return _LINK.sub("/s/…", path)


async def answer_error(error: HttpError, scope: Scope, receive: Receive, send: Send) -> None:
    """For middleware: answer with the error instead of the app."""
    await error_response(error, scope)(scope, receive, send)


def add_error_handlers(app: FastAPI) -> None:
    """Put everything that routes raise into the shape. What nobody foresaw is `ErrorBoundary`'s."""

    @app.exception_handler(ColloquyError)
    async def colloquy_error(request: Request, error: ColloquyError) -> Response:
        return error_response(error, request.scope)

    @app.exception_handler(HttpError)
    async def http_error(request: Request, error: HttpError) -> Response:
        return error_response(error, request.scope)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return error_response(HttpError(422, "bad_input", _sentence(error.errors())), request.scope)

    @app.exception_handler(HTTPException)
    async def http_exception(request: Request, error: HTTPException) -> Response:
        # FastAPI answers 400 to bytes that are no text; our other wrong bodies are 422.
        status = 422 if error.status_code == 400 else error.status_code
        default = ("http_error", HTTPStatus(status).phrase + ".")
        code, message = _BY_STATUS.get(status, default)
        response = error_response(HttpError(status, code, message), request.scope)
        response.headers.update(error.headers or {})
        return response


class ErrorBoundary:
    """The outermost catch: an unforeseen exception becomes a logged traceback and a plain 500 with its id, and a
    request that the end of the server cuts off a 503."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except asyncio.CancelledError:
            if started:
                raise
            # Only the end of the server cancels a request; raised again, it would be answered with a bare 500.
            await answer_error(HttpError(503, "unavailable", CLOSING, retry_after_s=60), scope, receive, send)
        except Exception:
            error_id = secrets.token_hex(6)
            log.exception("request failed", error_id=error_id, method=scope["method"], path=_logged(scope["path"]))
            if not started:
                message = f"Something went wrong on the server; its log has the details under {error_id}."
                await _shaped(500, "error", message, None, error_id)(scope, receive, send)


def _shaped(status: int, code: str, message: str, retry_after_s: float | None, error_id: str) -> Response:
    headers = {} if retry_after_s is None else {"Retry-After": str(max(1, math.ceil(retry_after_s)))}
    body = {"error": {"code": code, "message": message, "retry_after_s": retry_after_s, "id": error_id}}
    return JSONResponse(body, status, headers)


def _sentence(problems: Sequence[Any]) -> str:
    """One sentence about the first problem, without echoing the input."""
    first = problems[0]
    if first["type"] == "json_invalid":
        return "The body of the request is not valid JSON."
    place = ".".join(part for part in map(str, first["loc"][1:]) if not _INTERNAL.fullmatch(part))[:80]
    if not place:
        return "The request needs an object of JSON as its body, with the content type application/json."
    match first["type"]:
        case "missing":
            return f"`{place}` is missing."
        case "extra_forbidden":
            return f"`{place}` is not known here."
        case "sentence":
            return str(first["msg"])
        case "too_long" if isinstance(first["input"], str):  # pydantic counts items where a validator stands before
            return f"`{place}` is wrong: it has more than {first['ctx']['max_length']} characters."
        case _:
            message = str(first["msg"]).removeprefix("Value error, ")
            return f"`{place}` is wrong: {message[:1].lower()}{message[1:]}."
