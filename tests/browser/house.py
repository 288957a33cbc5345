"""The whole server in a thread, with the scripted engine and the shelf of passages, for a browser to visit."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn

from app.backend.engines.scripted import Script, ScriptedEngine
from app.backend.pipelines.registry import create_registry
from app.backend.protocols import Engine
from app.backend.service import Backend
from app.backend.storage.database import Database
from app.server import create_app
from app.startup import listen
from tests.doubles import Shelf, settings


class House:
    """A running server. `script` is what the engine says; see `ScriptedEngine`. `named` are further engines."""

    def __init__(
        self,
        folder: Path,
        script: Script = (),
        *,
        tokens_per_s: float = 0,
        gate: asyncio.Event | None = None,
        port: int = 0,
        named: Mapping[str, Engine] | None = None,
        **groups: dict[str, object],
    ) -> None:
        chosen = settings(folder, **{"generation": {"grace_s": 60}, **groups})
        self.engine = ScriptedEngine(script, model="Scripted-1B", tokens_per_s=tokens_per_s, gate=gate)
        self.shelf = Shelf()
        database, registry = Database(folder / "colloquy.db"), create_registry(chosen)
        backend = Backend(chosen, database, self.engine, self.shelf, registry, named=named)
        self._app = create_app(chosen, backend=backend)
        self._listener: socket.socket = listen("127.0.0.1", port)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        config = uvicorn.Config(
            self._app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with self._app.router.lifespan_context(self._app):
            await self._server.serve(sockets=[self._listener])

    def open(self) -> None:
        """Serve; returns when the page is there."""
        self._thread.start()
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with httpx.Client(base_url=self.url, timeout=60) as client:
                if client.get("/readyz").json()["interface"] == "ready":
                    return
            time.sleep(0.05)
        raise TimeoutError("the page was not there after two minutes")

    def close(self) -> None:
        """End it; what still runs is cut, not waited for."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.engine.die)
        self._server.should_exit = True
        self._thread.join(20)

    def connections(self) -> int:
        """How many are open to it; a server lets go of one that was idle for five seconds."""
        return len(self._server.server_state.connections)

    def call(self, do: Callable[[], object]) -> None:
        """Do something where the server lives."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(do)

    def set(self, event: asyncio.Event) -> None:
        """Let the script go on where it waits for `event`."""
        self.call(event.set)


@contextmanager
def opened(house: House) -> Iterator[House]:
    house.open()
    try:
        yield house
    finally:
        house.close()
