"""What tests of demos over HTTP have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from app.backend.records import LIVE
from app.visitors import HEADER
from tests.api.house import Served


async def publish(client: httpx.AsyncClient, name: str = "room", **fields: object) -> dict[str, Any]:
    body = {"name": name, "title": "A room", "sides": [{"pipeline": "direct"}], **fields}
    made = await client.post("/api/demos", json=body)
    assert made.status_code == 201, made.text
    answer: dict[str, Any] = made.json()
    return answer


@asynccontextmanager
async def visitor(served: Served, name: str = "room") -> AsyncIterator[httpx.AsyncClient]:
    """A browser that keeps no cookie, only the token that the demo gave it."""
    async with httpx.AsyncClient(base_url=served.url) as client:
        card = await client.get(f"/api/d/{name}")
        assert card.status_code == 200, card.text
        client.cookies.clear()
        client.headers[HEADER] = card.json()["visitor"]
        yield client


async def ask(client: httpx.AsyncClient, name: str = "room", question: str = "Who is there?") -> httpx.Response:
    client.cookies.clear()
    return await client.post(f"/api/d/{name}/questions", json={"question": question})


async def own(client: httpx.AsyncClient, name: str = "room") -> list[dict[str, Any]]:
    client.cookies.clear()
    answer: list[dict[str, Any]] = (await client.get(f"/api/d/{name}/questions")).json()
    return answer


async def finished(client: httpx.AsyncClient, name: str = "room") -> list[dict[str, Any]]:
    async with asyncio.timeout(30):
        while True:
            found = await own(client, name)
            if not any(a["status"] in LIVE for question in found for a in question["answers"]):
                return found
            await asyncio.sleep(0.02)
