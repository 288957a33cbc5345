"""How soon what a question holds is free again when it is stopped, and when its reader leaves: in each of four stages.

A user waits in the queue, in a search that does not come back, or before the first token of a long prompt, or reads.
Then either the question is stopped, and the clock runs from the request to stop, or its stream is closed, and the clock
runs from there. It stops when the slot is free for the next question (`slot`), and when nothing of it is left in the
engine or the search (`engine`). Retrieval is a server in this process; so is the engine, except with `--profile cpu`.

A real engine ends the step it is at before it looks up: a part of a prompt, which on a CPU takes seconds. There
`engine` may take as long as the prompt does, and `slot` may not.

Run: python benchmarks/stop.py [--json] [--profile scripted] [--rounds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from crowd import Server, User, arguments, percentile, report, serving

STAGES = ("queued", "retrieving", "prefilling", "decoding")
STOP_S, GRACE_S, LEAVE_S = 0.2, 1.0, 2.0
LOOK_S, PATIENCE_S = 0.002, 60.0
LONG_PROMPT = 3_000
WORDS = [
    a + b for a in ("ba", "do", "ke", "li", "mu", "ni", "po", "ra") for b in ("ten", "lor", "mi", "s", "gan", "vel")
]
HELD = re.compile(r"^(colloquy_queue_\w+ing|vllm:num_requests_\w+ing)\{.*\} (\S+)$", re.MULTILINE)


class Parts:
    """A retrieval server whose searches never come back, and an engine that waits for `prefilled` and then writes for
    ever. `open` counts the calls that are under way in both.
    """

    def __init__(self) -> None:
        self.open = 0
        self._dice = random.Random(5)
        self.prefilled = asyncio.Event()
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application()
        corpus = {"name": "demo", "passages": 1, "version": "1", "languages": ["en"], "description": ""}
        told = {
            "/health": {},
            "/readyz": {"retriever": "ready"},
            "/api/corpora": {"corpora": [corpus]},
            "/v1/models": {"data": [{"id": "endless", "max_model_len": 8192}]},
        }
        for path, answer in told.items():
            app.router.add_get(path, lambda request, answer=answer: web.json_response(answer))
        app.router.add_post("/tokenize", lambda request: web.json_response({"count": 100}))
        app.router.add_post("/v1/retrieve", self._search)
        app.router.add_post("/v1/chat/completions", self._chat)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()

    async def _search(self, request: web.Request) -> web.StreamResponse:
        self.open += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.open -= 1
        raise AssertionError

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"content-type": "text/event-stream"})
        self.open += 1
        try:
            await reply.prepare(request)
            await self.prefilled.wait()
            while True:
                word = self._dice.choice(WORDS)  # who repeats itself is stopped
                choice = {"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}
                chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "endless"}
                await reply.write(f"data: {json.dumps(chunk | {'choices': [choice]})}\n\n".encode())
                await asyncio.sleep(0.025)
        finally:
            self.open -= 1


@dataclass(frozen=True, slots=True)
class Held:
    """What all questions hold: places and slots, and calls of engine and search."""

    slots: float
    calls: float


@dataclass(frozen=True, slots=True)
class Freed:
    """Seconds until a slot, and engine and search, were as before the question."""

    slot_s: float
    engine_s: float


class House:
    """A server, its parts, and people who ask it."""

    def __init__(self, server: Server, parts: Parts, session: aiohttp.ClientSession) -> None:
        self._server = server
        self._parts = parts
        self._session = session
        self._dice = random.Random(3)

    async def measure(self, stage: str, way: str) -> Freed:
        """Bring a question to a stage, end it in a way, and look until all is as it was before."""
        async with AsyncExitStack() as stack:
            if stage == "queued":
                await stack.enter_async_context(self._asked("retrieving"))
            before = await self._held()
            user, generation, reply = await stack.enter_async_context(self._asked(stage))
            since = time.monotonic()
            if way == "stop":
                await user.call("POST", f"/api/generations/{generation}/stop")
            else:
                reply.close()
            freed = await self._freed(before, since)
        while await self._held() != Held(0, 0):
            await asyncio.sleep(LOOK_S)
        return freed

    async def first_token_s(self) -> float:
        """Of the long prompt, alone."""
        began = time.monotonic()
        async with self._asked("decoding", self._long()):
            return time.monotonic() - began

    @asynccontextmanager
    async def _asked(self, stage: str, question: str = "") -> AsyncIterator[tuple[User, str, aiohttp.ClientResponse]]:
        """A question that is at the stage inside, with its open stream; it is stopped afterwards."""
        before = await self._held()
        self._parts.prefilled.clear() if stage == "prefilling" else self._parts.prefilled.set()
        user = User(self._session)
        conversation = await user.open()
        plan = {
            "question": question
            or (self._long() if stage == "prefilling" else "Count from one to a hundred in words."),
            "pipeline": "naive" if stage == "retrieving" else "direct",
            "params": {"max_tokens": 400},
        }
        _, ticket = await user.call("POST", f"/api/conversations/{conversation}/ask", plan)
        generation = str(ticket["generation_id"])
        async with user.stream(generation) as reply:
            if stage in ("queued", "decoding"):
                await self._told(reply, b"event: queued" if stage == "queued" else b"event: token")
            else:
                while (await self._held()).calls <= before.calls:
                    await asyncio.sleep(LOOK_S)
            try:
                yield user, generation, reply
            finally:
                await user.call("POST", f"/api/generations/{generation}/stop")

    async def _told(self, reply: aiohttp.ClientResponse, what: bytes) -> None:
        said = bytearray()
        while what not in said:
            chunk = await reply.content.readany()
            if not chunk:
                raise SystemExit(f"The answer ended before its time: {said.decode()[-300:]}")
            said += chunk

    def _long(self) -> str:
        """A question of so many tokens, none of which was computed before."""
        return "".join(self._dice.choices("0123456789", k=LONG_PROMPT))

    async def _held(self) -> Held:
        async with self._session.get("/metrics") as reply:
            found = HELD.findall(await reply.text())
        slots = sum(float(value) for name, value in found if name.startswith("colloquy"))
        calls = sum(float(value) for name, value in found if name.startswith("vllm"))
        return Held(slots, calls + self._parts.open)

    async def _freed(self, before: Held, since: float) -> Freed:
        slot_s = engine_s = 0.0
        async with asyncio.timeout(PATIENCE_S):
            while not (slot_s and engine_s):
                held, now_s = await self._held(), time.monotonic() - since
                slot_s = slot_s or (now_s if held.slots <= before.slots else 0.0)
                engine_s = engine_s or (now_s if held.calls <= before.calls else 0.0)
                await asyncio.sleep(LOOK_S)
        return Freed(slot_s, engine_s)


async def main(options: argparse.Namespace) -> int:
    parts = Parts()
    real = options.profile != "scripted"
    async with parts.serving(), AsyncExitStack() as stack:
        settings = {
            "engine": {} if real else {"kind": "openai", "urls": [parts.url]},
            "retrieval": {"urls": [parts.url], "timeout_s": 600},
            "admission": {"max_running": 1},
            "generation": {"grace_s": GRACE_S},
        }
        server = await stack.enter_async_context(serving(options, settings))
        house = House(server, parts, await stack.enter_async_context(server.crowd()))
        step_s = await house.first_token_s() if real else 0.0
        found: dict[str, list[Freed]] = {}
        for way in ("stop", "leave"):
            for stage in STAGES:
                found[f"{way}_{stage}"] = [await house.measure(stage, way) for _ in range(options.rounds)]
                print(f"{way}_{stage}", found[f"{way}_{stage}"], file=sys.stderr, flush=True)
    targets, results = {}, {}
    for name, rounds in found.items():
        most_s = STOP_S if name.startswith("stop") else GRACE_S + LEAVE_S
        step = step_s if name.endswith("prefilling") else 0.0
        slots, engines = [freed.slot_s for freed in rounds], [freed.engine_s for freed in rounds]
        targets[name] = max(slots) <= most_s and max(engines) <= most_s + step
        results[name] = {
            "slot_s": [round(percentile(slots, 0.5), 3), round(max(slots), 3)],
            "engine_s": [round(percentile(engines, 0.5), 3), round(max(engines), 3)],
            "most_s": round(most_s, 3),
        }
    return report("stop", targets, {"long_prompt_s": round(step_s, 3), "p50_and_worst": results}, options)


if __name__ == "__main__":
    parser = arguments(__doc__, profile="scripted")
    parser.add_argument("--rounds", type=int, default=5, help="how often each way in each stage")
    sys.exit(asyncio.run(main(parser.parse_args())))
