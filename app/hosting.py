"""Runs an application on a port until it is told to stop; then lets what is open end, and returns.

Uvicorn with two changes: a signal leads to a return (exit code 0) instead of being raised again, and what runs is
drained while connections still stand, so that their streams get their last event.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

DRAIN_S = 12
"""Connections that are open longer than this after the signal are cut; answers are ended a little sooner."""


async def _nothing() -> None:
    return None


def run(
    app: FastAPI,
    listener: socket.socket,
    *,
    opened: Callable[[], None],
    drain: Callable[[], Awaitable[None]] = _nothing,
) -> None:
    """Serve `app` until SIGTERM or SIGINT. What its lifespan raises at the start comes out of here."""
    served = server(app, opened=opened, drain=drain)

    async def serve() -> None:
        async with app.router.lifespan_context(app):
            await served.serve(sockets=[listener])

    with asyncio.Runner(loop_factory=served.config.get_loop_factory()) as runner:
        runner.run(serve())


def server(
    app: FastAPI, *, opened: Callable[[], None], drain: Callable[[], Awaitable[None]] = _nothing
) -> uvicorn.Server:
    """A server that calls `opened` when it answers and `drain` when told to stop. The lifespan is the caller's."""
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=DRAIN_S
    )
    return _Server(config, opened, drain)


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, opened: Callable[[], None], drain: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(config)
        self._opened = opened
        self._drain = drain

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._opened()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        draining = asyncio.ensure_future(self._drain())
        await super().shutdown(sockets)
        await draining

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {signum: signal.signal(signum, self.handle_exit) for signum in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
