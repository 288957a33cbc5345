"""A TCP proxy that misbehaves on request, in toxiproxy's words.

`Toxics` poison what the server sends to the client. Connections that are open feel a change at once; `script` holds
what the next connections get instead, one each.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Toxics:
    """Times in seconds, sizes in bytes; the defaults do no harm."""

    latency: float = 0.0
    bandwidth: float = 0.0
    """Bytes a second."""
    slow_close: float = 0.0
    timeout: float | None = None
    """Nothing comes any more, and the connection is closed after so long."""
    reset_peer: float | None = None
    """The connection is reset after so long, once there is something to send."""
    slicer: int = 0
    """Pieces of so many bytes."""
    limit_data: int | None = None
    """Closed after so many bytes."""


class Proxy:
    def __init__(self, target: str, *, toxics: Toxics = Toxics()) -> None:
        host, _, port = target.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.toxics = toxics
        self.script: list[Toxics] = []
        self.port = 0
        self.connections = 0
        self.passed = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse connections and break the open ones."""
        assert self._server is not None
        self._server.close()
        self.reset()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def reset(self) -> None:
        """Reset all open connections."""
        for writer in list(self._writers):
            _reset(writer)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        toxics = self.script.pop(0) if self.script else None
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, back}
        up = asyncio.create_task(self._pump(reader, back, Toxics()))
        down = asyncio.create_task(self._pump(there, writer, toxics))
        for task in (up, down):
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)
        await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
        self._writers -= {writer, back}
        for end in (writer, back):
            end.close()
        await asyncio.gather(up, down, return_exceptions=True)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, fixed: Toxics | None) -> None:
        sent = 0
        try:
            while data := await source.read(65536):
                toxics = fixed or self.toxics
                if toxics.timeout is not None:
                    await asyncio.sleep(toxics.timeout)
                    return
                if toxics.reset_peer is not None:
                    await asyncio.sleep(toxics.reset_peer)
                    _reset(sink)
                    return
                step = toxics.slicer or len(data)
                for begin in range(0, len(data), step):
                    piece = data[begin : begin + step]
                    if toxics.limit_data is not None:
                        piece = piece[: toxics.limit_data - sent]
                    await asyncio.sleep(toxics.latency + (len(piece) / toxics.bandwidth if toxics.bandwidth else 0))
                    sink.write(piece)
                    await sink.drain()
                    sent += len(piece)
                    self.passed += len(piece)
                    if sent == toxics.limit_data:
                        return
            await asyncio.sleep((fixed or self.toxics).slow_close)
        except OSError:
            return


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def proxied(target: str, *, toxics: Toxics = Toxics()) -> AsyncIterator[Proxy]:
    """A proxy in front of `http://HOST:PORT`."""
    proxy = Proxy(target, toxics=toxics)
    await proxy.up()
    try:
        yield proxy
    finally:
        await proxy.down()
