"""What tests of share links over HTTP have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fastapi import FastAPI

from app.backend.engines.scripted import Item
from app.settings import ServerSettings
from app.ui.pages import shared
from app.ui.public import PublicRenderer
from tests.api.house import Served, a_page, events_of, serving, until_part

PAGE = {"accept": "text/html"}
MANY = {"running": 64, "queued": 64, "per_minute": 10_000, "per_day": 100_000}


@asynccontextmanager
async def house(folder: Path, *script: list[Item], doors: ServerSettings | None = None) -> AsyncIterator[Served]:
    """A server with the pages behind links, without the rest of the interface."""
    interfaces: list[FastAPI] = []

    def mount(app: FastAPI) -> None:
        a_page(app)
        interfaces.append(app)

    async with serving(folder, script, mount=mount, doors=doors) as served:
        await until_part(served, "interface", "ready")
        served.guest.cookies.clear()
        renderer = PublicRenderer(served.backend.pipelines())
        shared.add(interfaces[0], served.backend, renderer, "0", doors or ServerSettings())
        yield served


async def share(client: httpx.AsyncClient, generation_id: str, **body: object) -> tuple[str, str]:
    """A link to the conversation of an answer: its id and its path."""
    found = (await client.get("/api/conversations")).json()["conversations"][0]["id"]
    made = await client.post(f"/api/conversations/{found}/share", json=body)
    assert made.status_code == 201, made.text
    assert made.headers["location"] == made.json()["url"]
    return made.json()["id"], httpx.URL(made.json()["url"]).path


async def answered(served: Served, question: str = "What is RAG?", **fields: object) -> str:
    generation_id = await served.ask(question, **fields)
    await events_of(served.guest, generation_id)
    return generation_id
