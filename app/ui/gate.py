"""Lets through to Gradio what the page reads of it, and nothing else: no uploads, no files, no queue, no proxy.

Invariant: what is not listed here is answered 404, also what a later Gradio adds. So no `session_hash`, which is all
that guards Gradio's queue, is worth anything here; the only calls go to `calls.py`.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import HttpError, answer_error
from app.ui import calls

_READ = frozenset({"GET", "HEAD"})
_PAGES = frozenset({"/", "/admin", "/links", "/compare", "/compare/batches", "/demos", "/leaderboard", "/theme.css"})
_CALLS = frozenset({calls.PATH, "/ui/compare"})
_FOLDERS = ("/assets/", "/compare/batches/", "/d/", "/s/", "/static/", "/ui/")
_LINKS = "/s/"  # to copy what is behind a link, or to run it again
_FORWARDED = b"x-forwarded-"  # Gradio writes the host in them into the page


class Gate:
    """ASGI middleware around the interface."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _open(scope["method"], scope["path"]):
            headers = [(name, value) for name, value in scope["headers"] if not name.startswith(_FORWARDED)]
            await self._app({**scope, "headers": headers}, receive, send)
        else:
            await answer_error(HttpError(404, "not_found", "There is nothing at this address."), scope, receive, send)


def _open(method: str, path: str) -> bool:
    if method in _READ:
        return path in _PAGES or path.startswith(_FOLDERS)
    return method == "POST" and (path in _CALLS or path.startswith(_LINKS))
