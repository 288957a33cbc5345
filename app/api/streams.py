"""A generation's log as server-sent events: numbered, resumable, never silent for a second.

The subscription is closed when the stream ends, however it ends; that is what frees the engine after a tab is closed.
Our own response instead of sse-starlette's: that one patches uvicorn and cuts streams at shutdown, where ours drain.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

import anyio
from prometheus_client import Gauge
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from app.backend.events import Recorded, to_json

KEEP_ALIVE_S = 0.5
_PREAMBLE = b"retry: 1000\n\n"
_COMMENT = b":\n\n"
_HEADERS = {"X-Accel-Buffering": "no"}
_MEDIA_TYPE = "text/event-stream"


def encode(recorded: Recorded) -> bytes:
    """One event of the stream. JSON keeps it on one line."""
    data = json.dumps(to_json(recorded.event), ensure_ascii=False, separators=(",", ":"))
    return f"id: {recorded.seq}\nevent: {recorded.event.kind}\ndata: {data}\n\n".encode(errors="replace")


class EventStream(StreamingResponse):
    """Sends events as they come, and a comment when nothing came for a while."""

    media_type = _MEDIA_TYPE

    def __init__(self, events: AsyncGenerator[Recorded, None], open_streams: Gauge) -> None:
        super().__init__(content=(), headers=_HEADERS)
        self._events = events
        self._open_streams = open_streams
        self._last_sent = 0.0

    async def stream_response(self, send: Send) -> None:
        with self._open_streams.track_inprogress():
            try:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await self._send(send, _PREAMBLE)
                async with anyio.create_task_group() as group:
                    group.start_soon(self._keep_alive, send)
                    async for recorded in self._events:
                        await self._send(send, encode(recorded))
                    group.cancel_scope.cancel()
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            finally:
                with anyio.CancelScope(shield=True):
                    await self._events.aclose()

    async def _keep_alive(self, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            silent = clock() - self._last_sent
            if silent >= KEEP_ALIVE_S:
                await self._send(send, _COMMENT)
                silent = 0.0
            await anyio.sleep(KEEP_ALIVE_S - silent)

    async def _send(self, send: Send, chunk: bytes) -> None:
        self._last_sent = asyncio.get_running_loop().time()
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def replay(events: AsyncGenerator[Recorded, None]) -> Response:
    """The rest of a finished log in one piece; 204, which ends a browser's reconnecting, when there is no rest."""
    chunks = [encode(recorded) async for recorded in events]
    if not chunks:
        return Response(status_code=204)
    return Response(_PREAMBLE + b"".join(chunks), headers=_HEADERS, media_type=_MEDIA_TYPE)
