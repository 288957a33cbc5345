"""Puts the interface together: the Gradio page, the live stream, the static files and the first paint.

Invariant: every route takes the owner from the verified cookie, and what belongs to somebody else is a 404.
"""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import blake2s
from typing import Annotated

import gradio as gr
from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from app.backend.errors import NotFound
from app.backend.service import Backend
from app.identity import Identity
from app.settings import ASSETS, Settings
from app.ui import i18n
from app.ui.actions import Actions, load_examples
from app.ui.calls import answer_calls
from app.ui.gate import Gate
from app.ui.i18n import Lang
from app.ui.pages import admin, batches, chat, compare, demo, demos, leaderboard, links, shared
from app.ui.public import PublicRenderer
from app.ui.render import Renderer
from app.ui.shell import Shell
from app.ui.theme import theme
from app.ui.turn import LiveTurns
from app.visitors import Visitors

_FILES = {
    "style.css": "text/css",
    "admin.css": "text/css",
    "admin.js": "text/javascript",
    "batches.css": "text/css",
    "batches.js": "text/javascript",
    "leaderboard.css": "text/css",
    "leaderboard.js": "text/javascript",
    "stream.js": "text/javascript",
    "lead.js": "text/javascript",
    "sources.js": "text/javascript",
    "waiting.js": "text/javascript",
    "calls.js": "text/javascript",
    "notices.js": "text/javascript",
    "list.js": "text/javascript",
    "trace.js": "text/javascript",
    "settings.js": "text/javascript",
    "tuning.js": "text/javascript",
    "look.js": "text/javascript",
    "page.js": "text/javascript",
    "hands.js": "text/javascript",
    "compare.css": "text/css",
    "differences.css": "text/css",
    "sides.js": "text/javascript",
    "columns.js": "text/javascript",
    "compare.js": "text/javascript",
    "compare_hands.js": "text/javascript",
    "share.js": "text/javascript",
    "share.css": "text/css",
    "shared.js": "text/javascript",
    "shared.css": "text/css",
    "links.js": "text/javascript",
    "demo.css": "text/css",
    "demo.js": "text/javascript",
    "demo_early.js": "text/javascript",
    "demos.css": "text/css",
    "demos.js": "text/javascript",
    "present.css": "text/css",
    "present.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "icon-news.svg": "image/svg+xml",
}
_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def build(app: FastAPI, backend: Backend, settings: Settings, identity: Identity) -> None:
    """Add the interface's routes to `app` and mount Gradio at its root."""
    renderer = Renderer(backend.pipelines())
    examples = load_examples(ASSETS / "demo" / "questions.jsonl", settings.engine.languages)
    actions = Actions(backend, renderer, examples)
    files = {name: ((ASSETS / name).read_bytes(), kind) for name, kind in _FILES.items()}
    words = {lang: {**i18n.METHODS[lang], **i18n.STRINGS[lang]} for lang in i18n.LANGUAGES}
    files["strings.js"] = (f"window.colloquyStrings = {json.dumps(words)};".encode(), "text/javascript")
    version = blake2s(b"".join(content for content, _ in files.values()), digest_size=6).hexdigest()
    _static_files(app, files, version)
    _live_answers(app, LiveTurns(backend, renderer), identity)
    admin.add(app, backend, renderer, identity, version, settings.server)
    leaderboard.add(app, backend.arena, renderer, identity, version, settings.server)
    compare.add(app, backend, renderer, identity, version, settings.server, examples)
    batches.add(app, backend, renderer, identity, version, settings.server)
    public = PublicRenderer(backend.pipelines())
    shared.add(app, backend, public, version, settings.server)
    links.add(app, backend, public, identity, version, settings.server)
    demo.add(app, backend, renderer, Visitors(identity), version, settings.server)
    demos.add(app, backend, renderer, version, settings)
    page = chat.page(renderer, actions, identity, backend, settings)
    answer_calls(app, page)
    page.max_threads = 200  # Gradio's own 40 would cap all running events together
    gr.mount_gradio_app(
        app,
        page,
        "/",
        theme=theme(),
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        show_error=False,
    )
    app.add_middleware(Gate)
    app.add_middleware(Shell, renderer=renderer, version=version, server=settings.server)


def _static_files(app: FastAPI, files: dict[str, tuple[bytes, str]], version: str) -> None:
    @app.get("/ui/static/{name}", include_in_schema=False)
    async def static(name: str, v: str = "") -> Response:
        """A file of the page. Its address changes with its content, so it may be kept for ever; but not when a page of
        another version asks, across a restart: then its scripts would not fit together until the cache is emptied.
        """
        if name not in files:
            return Response(status_code=404)
        content, kind = files[name]
        kept = "public, max-age=31536000, immutable" if v == version else "no-store"
        return Response(content, media_type=kind, headers={"Cache-Control": kept})


def _live_answers(app: FastAPI, live: LiveTurns, identity: Identity) -> None:
    @app.get("/ui/generations/{generation_id}/live", include_in_schema=False)
    async def live_answer(
        request: Request, generation_id: str, lang: Annotated[Lang, Query()] = "en", column: bool = False
    ) -> Response:
        """The answer as it is written, for `assets/stream.js`; `column`: beside others."""
        owner = identity.owner_of(request)
        try:
            origin = replace(await live.origin(owner, generation_id), column=column)
        except NotFound:
            return JSONResponse({"error": {"code": "not_found"}}, 404)
        stream = live.stream(owner, generation_id, origin, lang)
        return StreamingResponse(stream, media_type="text/event-stream", headers=_STREAM_HEADERS)
