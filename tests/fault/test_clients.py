"""A client that is slow, gone or never reads costs itself; a running answer goes on whoever else comes."""

from __future__ import annotations

import asyncio
import resource
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.hosting import MOST_FILES, allow_files
from tests.api.house import SentEvent, Served, events_of, read_stream, text_of
from tests.fault.house import ended_once, house, scripted, until
from tests.fault.proxy import Toxics, proxied

pytestmark = pytest.mark.anyio
FLOOD = [f"{secrets.token_hex(4096)} " for _ in range(200)]
"""More than the sockets of both ends hold, in few enough tokens."""
JOINED = 2000


async def open_streams(served: Served) -> float:
    metrics = (await served.guest.get("/metrics")).text
    [line] = [line for line in metrics.splitlines() if line.startswith("colloquy_streams_open ")]
    return float(line.split()[1])


async def until_open(served: Served, count: int) -> None:
    while await open_streams(served) != count:
        await asyncio.sleep(0.02)


@contextmanager
def deaf(served: Served, generation: str) -> Iterator[None]:
    """A reader of the stream that never reads."""
    host, port = served.url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    cookies = "; ".join(f"{name}={value}" for name, value in served.guest.cookies.items())
    path = f"/api/generations/{generation}/events"
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\n\r\n".encode())
    with connection:
        yield


async def test_a_reader_who_never_reads_is_cut_off_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for it is one buffer, whatever the answer's length: the log is there once for all readers."""
    monkeypatch.setattr("app.startup.READER_PATIENCE_S", 2.0)
    gate = asyncio.Event()
    async with house(tmp_path, scripted([*FLOOD, gate, "end"])) as served:
        generation = await served.ask()
        reading = asyncio.ensure_future(events_of(served.guest, generation))
        async with asyncio.timeout(60):
            await until_open(served, 1)
            with deaf(served, generation):
                await until_open(served, 2)
                await until_open(served, 1)
                assert not reading.done()
                gate.set()
                events = await reading
        assert ended_once(events).kind == "done"
        assert text_of(events) == "".join(FLOOD) + "end"


@pytest.mark.parametrize("asked", [b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"])
@pytest.mark.parametrize("begun", [b"", b"GET / HT"])
async def test_who_connects_and_asks_nothing_is_let_go_and_who_waits_for_an_answer_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: bytes, begun: bytes
) -> None:
    monkeypatch.setattr("app.hosting.ASK_S", 0.5)
    gate = asyncio.Event()
    async with house(tmp_path, scripted(["before", gate, " after"])) as served, asyncio.timeout(60):
        reading = asyncio.ensure_future(events_of(served.guest, await served.ask()))
        reader, writer = await asyncio.open_connection(*served.url.removeprefix("http://").split(":"))
        if asked:
            writer.write(asked)
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        writer.write(begun)
        assert await reader.read() == b"", "the server ends it"
        writer.close()
        gate.set()
        assert text_of(await reading) == "before after"


def test_a_server_may_open_as_many_files_as_this_machine_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, before[0]), before[1]))
    try:
        allow_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(before[1], MOST_FILES)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("toxics", [Toxics(bandwidth=200_000), Toxics(slicer=100), Toxics(latency=0.02)])
async def test_a_slow_reader_gets_every_word_and_delays_nobody(tmp_path: Path, toxics: Toxics) -> None:
    async with house(tmp_path, scripted(["word "] * 50, ["quick"])) as served, proxied(served.url) as proxy:
        slow_one = await served.ask()
        proxy.toxics = toxics
        async with httpx.AsyncClient(base_url=proxy.url, cookies=served.guest.cookies, timeout=30) as far:
            slow = asyncio.ensure_future(events_of(far, slow_one))
            async with asyncio.timeout(60):
                assert text_of(await events_of(served.guest, await served.ask())) == "quick"
            assert text_of(await slow).startswith("word word ")


@pytest.mark.parametrize("how", ["reset", "down"])
async def test_a_reader_who_is_gone_frees_the_engine_after_the_grace_time(tmp_path: Path, how: str) -> None:
    """Case 31, with a connection that breaks instead of one that is closed."""
    engine = scripted(["word ", asyncio.Event()])
    async with house(tmp_path, engine, generation={"grace_s": 1.0}) as served, proxied(served.url) as proxy:
        generation = await served.ask()
        async with httpx.AsyncClient(base_url=proxy.url, cookies=served.guest.cookies) as far:
            reading = asyncio.ensure_future(events_of(far, generation))
            await until(lambda: proxy.passed > 0 and engine.open == 1)
            if how == "reset":
                proxy.reset()
            else:
                await proxy.down()
            with pytest.raises(httpx.HTTPError):
                await reading
        await until(lambda: engine.open == 0)
        assert ended_once(await events_of(served.guest, generation)).data["reason"] == "abandoned"


async def test_a_running_answer_goes_on_when_two_thousand_newer_sessions_have_joined(tmp_path: Path) -> None:
    """Gradio keeps the messages of the newest 2,000 sessions only, and an answer that it carries freezes then."""
    gate = asyncio.Event()
    quota = {"running": JOINED, "queued": JOINED, "per_minute": 10 * JOINED, "per_day": 10 * JOINED}
    async with house(tmp_path, scripted(["before", gate, " after"]), quotas={"local": quota}) as served:
        generation = await served.ask()
        url = f"/api/generations/{generation}/events"
        async with served.guest.stream("GET", url) as response:
            events = read_stream(response.aiter_lines())
            async for event in events:
                if isinstance(event, SentEvent) and event.kind == "token":
                    break
            limits = httpx.Limits(max_connections=8)
            async with httpx.AsyncClient(base_url=served.url, limits=limits, timeout=30) as crowd:

                async def join() -> None:
                    for _ in range(JOINED // 8):
                        crowd.cookies.clear()
                        answer = await crowd.get("/api/conversations")
                        assert (answer.status_code, "set-cookie" in answer.headers) == (200, True)

                await asyncio.gather(*(join() for _ in range(8)))
            gate.set()
            rest = [event async for event in events if isinstance(event, SentEvent)]
        assert (text_of(rest), ended_once(rest).kind) == (" after", "done")
