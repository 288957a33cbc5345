"""The load generator of `chat.py`, in a process of its own: asks over HTTP and reads the event streams.

The conversations are made before the clock starts: what is measured is asking. Each stream has a connection that is
open already, and the protocol is spoken here by hand: a library's own work for sixteen requests, on the two cores that
the server and the engine need, came to more than the server's.

Reads one JSON job a line from stdin, `{"url", "streams", "questions"}`, and answers each with one line: the wall
time, and per question its generation, when it was asked, its first-token time, the server's retrieval time, its tokens.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx


class Connection:
    """One HTTP/1.1 connection, one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self._reader = reader
        self._writer = writer
        self._head = head

    async def lines(self, method: str, path: str, body: bytes = b"") -> AsyncIterator[bytes]:
        """The lines of the answer's body."""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        status, *fields = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        if not status.split()[1].startswith(b"2"):
            raise RuntimeError(status.decode())
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(b":") for field in fields)}
        if b"content-length" in headers:
            yield await self._reader.readexactly(int(headers[b"content-length"]))
            return
        rest = b""
        while size := int(await self._reader.readline(), 16):
            *whole, rest = (rest + (await self._reader.readexactly(size + 2))[:-2]).split(b"\n")
            for line in whole:
                yield line
        await self._reader.readline()


Answer = dict[str, float | str]


async def ask(connection: Connection, conversation: str, question: bytes) -> Answer:
    began = time.perf_counter()
    (ticket,) = [line async for line in connection.lines("POST", f"/api/conversations/{conversation}/ask", question)]
    generation = json.loads(ticket)["generation_id"]
    events = f"/api/generations/{generation}/events"
    first, kind, done = 0.0, b"", b"{}"
    async for line in connection.lines("GET", events):
        if line.startswith(b"event: "):
            kind = line.removeprefix(b"event: ")
            first = first or (time.perf_counter() - began if kind == b"token" else 0.0)
        elif line.startswith(b"data: ") and kind in (b"done", b"stopped", b"failed"):
            done = line.removeprefix(b"data: ")
    if kind != b"done":
        raise RuntimeError(f"{kind!r}: {done!r}")
    end = json.loads(done)
    return {
        "id": generation,
        "asked_at_s": began,
        "first_token_s": first,
        "retrieve_s": end["timings_ms"].get("retrieve", 0.0) / 1000,
        "tokens": end["usage"]["completion_tokens"],
    }


async def job(url: str, streams: int, questions: list[str]) -> dict[str, object]:
    async with httpx.AsyncClient(base_url=url, timeout=300) as client:
        conversations = [(await client.post("/api/conversations")).json()["id"] for _ in questions]
        cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    where = urlsplit(url)
    head = f"Host: {where.netloc}\r\nCookie: {cookies}\r\nContent-Type: application/json\r\n"
    opened = [await asyncio.open_connection(where.hostname, where.port) for _ in range(streams)]
    waiting = iter([(n, json.dumps({"question": q}).encode()) for n, q in enumerate(questions)])
    answers: dict[int, Answer] = {}

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, head)
        for n, question in waiting:
            answers[n] = await ask(connection, conversations[n], question)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(stream(*pair) for pair in opened))
    wall_s = time.perf_counter() - began
    for answer in answers.values():
        answer["asked_at_s"] = float(answer["asked_at_s"]) - began
    return {"wall_s": wall_s, "answers": [answers[n] for n in range(len(questions))]}


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(asyncio.run(job(**json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
