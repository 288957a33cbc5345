"""Runs an application on a port until it is told to stop; then lets what is open end, and returns.

Uvicorn with three changes: a signal leads to a return (exit code 0) instead of being raised again; what runs is drained
while connections still stand, so that their streams get their last event; and who connects and asks nothing is let go.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

DRAIN_S = 12
"""Connections that are open longer than this after the signal are cut; answers are ended a little sooner."""
ASK_S = 15.0
"""A connection has so long for the head of its first request, and of each later one after the answer before it."""
MOST_FILES = 65_536


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
    allow_files()
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


def allow_files() -> None:
    """Let this process open as many files as it may: each connection is one, and a usual shell allows 1,024."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if most == resource.RLIM_INFINITY else min(most, MOST_FILES)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, opened: Callable[[], None], drain: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(config)
        self._opened = opened
        self._drain = drain
        self._silent: dict[tuple[object, object], float] = {}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._opened()

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # once a second
            self._let_go()
        return await super().on_tick(counter)

    def _let_go(self) -> None:
        """Close what has asked nothing for a while. Uvicorn does so after an answer only, and only before the first
        byte of the next request."""
        now = time.monotonic()
        silent: dict[tuple[object, object], float] = {}
        for connection in self.server_state.connections:
            latest = getattr(connection, "cycle", None)  # the request that it is about; none before the first
            if latest is None or latest.response_complete:
                since = silent[connection, latest] = self._silent.get((connection, latest), now)
                if now - since > ASK_S:
                    connection.transport.close()
        self._silent = silent

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
