"""The load generator of `chat.py`, in a process of its own: asks over HTTP and reads the event streams.

The conversations are made before the clock starts: what is measured is asking.
Reads one JSON job a line from stdin, `{"url", "streams", "questions"}`, and answers each with one line: the wall
time, and per question when it was asked, its first-token time, the server's retrieval time and its tokens.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import httpx


async def ask(client: httpx.AsyncClient, conversation: str, question: str) -> dict[str, float]:
    began = time.perf_counter()
    ticket = (await client.post(f"/api/conversations/{conversation}/ask", json={"question": question})).json()
    first, kind, done = 0.0, "", {}
    async with client.stream("GET", f"/api/generations/{ticket['generation_id']}/events") as events:
        async for line in events.aiter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                first = first or (time.perf_counter() - began if kind == "token" else 0.0)
                if kind in ("done", "stopped", "failed"):
                    done = json.loads(line.removeprefix("data: "))
    if kind != "done":
        raise RuntimeError(f"{kind}: {done}")
    return {
        "asked_at_s": began,
        "first_token_s": first,
        "retrieve_s": done["timings_ms"].get("retrieve", 0.0) / 1000,
        "tokens": done["usage"]["completion_tokens"],
    }


async def job(url: str, streams: int, questions: list[str]) -> dict[str, object]:
    slots = asyncio.Semaphore(streams)
    async with httpx.AsyncClient(base_url=url, timeout=300) as client:

        async def one(conversation: str, question: str) -> dict[str, float]:
            async with slots:
                return await ask(client, conversation, question)

        conversations = [(await client.post("/api/conversations")).json()["id"] for _ in questions]
        began = time.perf_counter()
        answers = await asyncio.gather(*map(one, conversations, questions))
        wall_s = time.perf_counter() - began
        for answer in answers:
            answer["asked_at_s"] -= began
        return {"wall_s": wall_s, "answers": answers}


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(asyncio.run(job(**json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
