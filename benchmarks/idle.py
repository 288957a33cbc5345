"""Pages that are open and not used: what each costs the server in memory and, as they grow many, in processor time.

First one page is opened in Chromium and left alone while its requests are recorded: those of its first 20 seconds, and
those of the time after. Then sessions do over HTTP what it did, each with a cookie and connections of its own, at its
own moment (the page's files are left out: a browser keeps them). Resting processor time is measured before, several
times, which gives the noise.

    memory_mb_per_session   of the line through all levels
    cpu_grows               share of a core at the last level, less that of an unvisited server

Run: python benchmarks/idle.py [--json] [--sessions 1 10 100 300 1000] [--watch 60]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass

import aiohttp
from crowd import ROOT, Server, User, arguments, own_cpu_s, report, serving, slope

sys.path.insert(0, str(ROOT))

from app import machine

MAX_MB, NOISE_TIMES, CLOCK = 0.5, 3.0, 0.005
FILES = ("/assets/", "/static/", "/ui/static/", "/theme.css")
OPENING_AT_ONCE = 20
SETTLE_S = 10
COME_TO_REST_S = 20
RESTS = 4
BROWSER = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


@dataclass(frozen=True, slots=True)
class Request:
    """What the page asked for, so many seconds after it began."""

    at_s: float
    method: str
    path: str
    body: object


@dataclass(frozen=True, slots=True)
class Visit:
    """What a page asks for: on opening, and while nobody touches it, over `watched_s` seconds."""

    opening: tuple[Request, ...]
    idle: tuple[Request, ...]
    watched_s: float


async def record(url: str, watch_s: float) -> Visit:
    """Open the page in a browser, wait, and note its requests."""
    from playwright.async_api import Request as Seen
    from playwright.async_api import async_playwright

    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=machine.chromium(), args=list(BROWSER))
        page = await browser.new_page()
        seen: list[Request] = []
        began = time.monotonic()

        def note(request: Seen) -> None:
            path = request.url.removeprefix(url.rstrip("/"))
            if not path.startswith(FILES):
                body = json.loads(request.post_data) if request.post_data else None
                seen.append(Request(time.monotonic() - began, request.method, path, body))

        page.on("request", note)
        await page.goto(url)
        await page.wait_for_selector("body.ready")
        await asyncio.sleep(COME_TO_REST_S)
        opening, began = tuple(seen), time.monotonic()
        seen.clear()
        await asyncio.sleep(watch_s)
        await browser.close()
        return Visit(opening, tuple(seen), watch_s)


async def session(server: Server, visit: Visit, gate: asyncio.Semaphore, opened: list[float]) -> None:
    """Open the page, and go on as it does until cancelled."""
    connector = aiohttp.TCPConnector(limit=6, keepalive_timeout=300)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(server.url, connector=connector, cookie_jar=jar) as connections:
        user = User(connections)
        async with gate:
            for request in visit.opening:
                status, _ = await user.call(request.method, request.path, request.body)
                if status != 200:
                    raise SystemExit(f"{request.method} {request.path} was answered {status}")
        opened.append(time.monotonic())
        await asyncio.sleep(random.uniform(0, visit.watched_s))
        while True:
            began = time.monotonic()
            for request in visit.idle:
                await asyncio.sleep(max(0.0, began + request.at_s - time.monotonic()))
                await user.call(request.method, request.path, request.body)
            await asyncio.sleep(max(0.0, began + visit.watched_s - time.monotonic()))


async def cpu(server: Server, seconds: float) -> float:
    """Share of a core that the server takes."""
    before = server.cpu_s()
    await asyncio.sleep(seconds)
    return (server.cpu_s() - before) / seconds


async def main(options: argparse.Namespace) -> int:
    async with serving(options, {}) as server:
        visit = await record(server.url, options.watch)
        await asyncio.sleep(SETTLE_S)
        rests = [await cpu(server, options.watch / 2) for _ in range(RESTS)]
        gate, opened = asyncio.Semaphore(OPENING_AT_ONCE), []
        sessions: list[asyncio.Task[None]] = []
        levels = []
        for count in options.sessions:
            sessions += [
                asyncio.create_task(session(server, visit, gate, opened)) for _ in range(count - len(sessions))
            ]
            while len(opened) < count:
                await asyncio.sleep(0.2)
                if failed := [task for task in sessions if task.done()]:
                    failed[0].result()
            await asyncio.sleep(SETTLE_S)
            own = own_cpu_s()
            share = await cpu(server, options.watch)
            vitals = {name: round(value, 1) for name, value in server.vitals().items()}
            levels.append({"sessions": count, **vitals, "cpu": round(share, 4)})
            levels[-1]["client_cpu"] = round((own_cpu_s() - own) / options.watch, 3)
            print(levels[-1], file=sys.stderr, flush=True)
        for task in sessions:
            task.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)
    rest, noise = sum(rests) / RESTS, max(max(rests) - min(rests), CLOCK)
    per_session = slope([(level["sessions"], level["memory_mb"]) for level in levels])
    results = {
        "requests_on_opening": len(visit.opening),
        "requests_a_minute_idle": round(len(visit.idle) * 60 / visit.watched_s, 1),
        "memory_mb_per_session": round(per_session, 4),
        "cpu_unvisited": [round(share, 4) for share in rests],
        "cpu_grows": round(levels[-1]["cpu"] - rest, 4),
        "cpu_noise": round(noise, 4),
        "levels": levels,
    }
    targets = {"memory": per_session <= MAX_MB, "cpu": levels[-1]["cpu"] - rest <= NOISE_TIMES * noise}
    return report("idle", targets, results, options)


if __name__ == "__main__":
    parser = arguments(__doc__, profile="scripted")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 10, 100, 300, 1000])
    parser.add_argument("--watch", type=float, default=60, help="seconds that the page, and each level, is watched")
    sys.exit(asyncio.run(main(parser.parse_args())))
