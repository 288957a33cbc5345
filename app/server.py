"""Puts the HTTP server together and runs it: identity, guards, API, front door, and the order in which parts start.

First the port, then the interface, then engine and retriever: what is heavy never delays what answers.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

import structlog
from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

from app import tunnel
from app.api import (
    admin,
    batches,
    compare,
    conversations,
    demos,
    generations,
    health,
    leaderboard,
    pipelines,
    retrieval,
    share,
)
from app.api.health import Parts
from app.api.turnstile import ALONE, BESIDE_CHATS, Bounds, Turnstile, caller
from app.backend import create_backend
from app.backend.errors import BadInput, ColloquyError
from app.backend.salts import Salts
from app.backend.service import Backend
from app.backend.storage.private import is_open_to_others
from app.backend.telemetry import Telemetry, configure_logging
from app.backend.types import Health, HealthState
from app.crowd import Crowd
from app.front_door import FrontDoor
from app.guards import guarded
from app.hosting import run
from app.identity import Identity, IdentityMiddleware, Recognition, Strangers, load_identity
from app.policy import PolicyMiddleware
from app.settings import ASSETS, Settings
from app.startup import address, check_doors, check_service, claimed, elsewhere, listen
from app.ui.lost import Lost
from app.visitors import Visitors

log = structlog.get_logger(__name__)

Mount = Callable[[FastAPI], None]
Say = Callable[[str], None]

_WATCH_S = 0.2


def create_app(
    settings: Settings, *, backend: Backend | None = None, mount: Mount | None = None, say: Say = lambda line: None
) -> FastAPI:
    """The whole server. Its lifespan opens the database, shows the interface and starts the parts, in this order.

    `app.state.drain` ends what runs; it may be called before the lifespan ends, and more than once.
    """
    backend = backend or create_backend(settings)
    identity = load_identity(settings.data)
    telemetry = backend.telemetry
    door = FrontDoor((ASSETS / "start.html").read_text(encoding="utf-8"))

    def engine_health() -> Health:
        now = backend.engine_health()  # which knows no usual time before its turn has come
        return now if now.state != "stopped" else replace(now, expected_s=settings.engine.start_expected_s)

    parts = {
        "database": backend.database_health,
        "interface": door.health,
        "retriever": backend.retriever_health,
        "engine": engine_health,
    }
    named = [info.name for info in backend.engines() if info.name]
    telemetry.watch_parts(parts | {f"engine {name}": partial(backend.engine_health, name) for name in named})
    mount = mount or _gradio(backend, settings, identity)
    drain = _Once(backend.aclose)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await backend.open()
        if refusing := backend.operations.draining:
            say(f"New questions are refused {refusing}, as an operator decided; the page /admin ends that.")
        opening = asyncio.create_task(_open(door, mount, backend.start, parts, say))
        try:
            yield
        finally:
            opening.cancel()
            with suppress(asyncio.CancelledError):
                await opening
            await drain()

    recognise = Recognition(identity, backend.accounts, settings.server)
    who = Middleware(IdentityMiddleware, identity=identity, recognise=recognise)
    crowd = Middleware(Crowd, server=settings.server, refused=telemetry.refused)
    policy = Middleware(PolicyMiddleware, accounts=settings.server.mode == "accounts")
    lost = Middleware(Lost, server=settings.server)
    app = guarded("Colloquy", settings.server, lifespan, telemetry, lost, who, crowd, policy)
    app.include_router(conversations.routes(backend))
    app.include_router(generations.routes(backend, telemetry))
    app.include_router(compare.routes(backend.comparisons))
    app.include_router(batches.routes(backend.batches))
    app.include_router(leaderboard.routes(backend.arena))
    app.include_router(pipelines.routes(backend))
    app.include_router(share.routes(backend.shares))
    app.include_router(demos.routes(backend.demos, Visitors(identity)))
    app.include_router(admin.routes(backend.operations))
    app.include_router(_retrieval(backend.retriever, settings, BESIDE_CHATS, telemetry, backend.salt_of))
    if settings.server.mode == "accounts":
        from app.ui.pages import account

        app.include_router(account.routes(backend.accounts, settings))
    app.include_router(health.routes(parts, backend.metrics, needed=frozenset({"database", "retriever", "engine"})))
    app.router.default = door
    app.state.drain = drain
    return app


def create_retrieval_app(settings: Settings) -> FastAPI:
    """Only the retriever over HTTP, for other servers and for trainers."""
    from app.backend.retrieval import create_retriever

    telemetry = Telemetry.create()
    retriever = create_retriever(settings, telemetry.registry)
    parts = {"retriever": retriever.health}
    telemetry.watch_parts(parts)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await retriever.start()
        try:
            yield
        finally:
            await retriever.aclose()

    async def render() -> bytes:
        return telemetry.render()

    who = Middleware(Strangers, server=settings.server)
    app = guarded("Colloquy retrieval", settings.server, lifespan, telemetry, who, Middleware(PolicyMiddleware))
    app.include_router(_retrieval(retriever, settings, ALONE, telemetry))
    app.include_router(health.routes(parts, render, needed=frozenset(parts)))
    return app


def serve(settings: Settings) -> int:
    """Run the server until SIGTERM or Ctrl-C. The exit code: 0, 1 for a failure, 2 for wrong settings."""
    _say(f"Starting with the {settings.engine.kind} engine and the data in {settings.data}.")
    configure_logging(quiet=sys.stderr.isatty())
    try:
        with claimed(settings.data) as answers_at:
            check_doors(settings)
            if is_open_to_others(settings.data):
                _say(f"Others on this machine can look into {settings.data}; close it with `chmod -R go= DIR`.")
            listener = listen(settings.server.host, settings.server.port)
            app = create_app(settings, say=_say)

            def opened() -> None:
                others = elsewhere(settings.server, listener.getsockname()[1])
                answers_at(address(listener), others)
                _say(f"Colloquy is at {address(listener)}")
                if others and others != address(listener):
                    _say(f"Other machines find it at {others}")
                if others.startswith("http:") and settings.server.mode == "accounts":
                    _say("Passwords travel there unencrypted: put a proxy with HTTPS in front (README, For a team).")
                if settings.server.share:
                    tunnel.open_in_background(listener.getsockname()[1], _say)

            run(app, listener, drain=app.state.drain, opened=opened)
    except ColloquyError as error:
        return _complain(error)
    _say("Colloquy has stopped.")
    return 0


def serve_retrieval(settings: Settings) -> int:
    """Run the stand-alone retrieval service until SIGTERM or Ctrl-C. The exit code as for `serve`."""
    _say(f"Starting the retrieval service with the data in {settings.data}.")
    configure_logging(quiet=sys.stderr.isatty())
    try:
        check_service(settings.server)
        listener = listen(settings.server.host, settings.server.port)
        app = create_retrieval_app(settings)
        run(app, listener, opened=lambda: _say(f"The retrieval service is at {address(listener)}"))
    except ColloquyError as error:
        return _complain(error)
    return 0


def _retrieval(
    searcher: retrieval.Searches,
    settings: Settings,
    bounds: Bounds,
    telemetry: Telemetry,
    salt_of: Salts = lambda owner: None,
) -> APIRouter:
    corpus, top_k = settings.server.default_corpus, settings.retrieval.top_k
    turnstile = Turnstile(bounds, who=caller, refused=telemetry.refused)
    return retrieval.routes(searcher, turnstile, default_corpus=corpus, default_top_k=top_k, salt_of=salt_of)


def _gradio(backend: Backend, settings: Settings, identity: Identity) -> Mount:
    def mount(app: FastAPI) -> None:
        # Read by Gradio at import: no reports to its makers, no table of events rebuilt at each of them.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = "1000000"
        from app import ui

        ui.mount(app, backend, settings, identity)

    return mount


async def _open(
    door: FrontDoor, mount: Mount, start_parts: Callable[[], Awaitable[None]], parts: Parts, say: Say
) -> None:
    """Bring everything up, in order, and keep the interface open until cancelled."""
    async with AsyncExitStack() as stack:
        watching = asyncio.create_task(_report(parts, say))
        stack.callback(watching.cancel)
        try:
            await stack.enter_async_context(door.interface(mount))
        except Exception:
            log.exception("the interface could not be loaded")
        try:
            await start_parts()
        except ColloquyError as error:
            log.error("a part could not be started", code=error.code, reason=error.message)
            say(error.message)
        except Exception:
            log.exception("a part could not be started")
            say("A part could not be started; the log says why.")
        # Cancelled here, everything is closed in order; Gradio's lifespan must see no exception for that.
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


async def _report(parts: Parts, say: Say) -> None:
    """Say of each part when it begins, is ready or is down, until all are ready."""
    told: dict[str, HealthState] = {}
    while set(told.values()) != {"ready"} or set(told) != set(parts):
        for name, part in parts.items():
            now = part()
            if told.get(name, "stopped") != now.state:
                told[name] = now.state
                say(f"  {name}: {_phrase(now)}")
        await asyncio.sleep(_WATCH_S)
    say("Everything is ready.")


def _phrase(now: Health) -> str:
    match now.state:
        case "starting":
            return f"being prepared, usually {now.expected_s:.0f} s" if now.expected_s else "being prepared"
        case "down":
            return f"down. {now.detail}".strip()
        case _:
            return now.state


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _complain(error: ColloquyError) -> int:
    sys.stderr.write(error.message + "\n")
    return 2 if isinstance(error, BadInput) else 1


class _Once:
    """Calls an asynchronous function once, however often and from wherever it is asked to; all wait for its end."""

    def __init__(self, call: Callable[[], Awaitable[None]]) -> None:
        self._call = call
        self._task: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        if self._task is None:
            self._task = asyncio.ensure_future(self._call())
        await asyncio.shield(self._task)
