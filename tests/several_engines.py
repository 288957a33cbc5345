"""What tests of several engines have in common: one server beside another, and one where nobody is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from app.backend.engines import create_engine, create_served
from app.backend.pipelines.registry import create_registry
from app.backend.records import Comparison, Side
from app.backend.service import Backend
from app.backend.storage.database import Database
from tests.asking import answer
from tests.doubles import Shelf, settings
from tests.engines.vllm_double import FakeServer, chunk, serving
from tests.fault.house import until

NOBODY = "http://127.0.0.1:9"


async def otherwise(server: FakeServer) -> AsyncIterator[str]:
    yield chunk("A lighthouse.")
    yield chunk("", "stop")
    yield "[DONE]"


def built(folder: Path, main: FakeServer, large: FakeServer, **groups: dict[str, object]) -> Backend:
    """A backend whose main engine is one server and whose engine `large` another; behind `gone` is nobody."""
    engines = {
        "large": {"urls": [large.url], "api_key": large.key or None},
        "gone": {"urls": [NOBODY], "start_expected_s": 0.001},
    }
    chosen = settings(folder, engine={"kind": "openai", "urls": [main.url]}, engines=engines, **groups)
    database, registry = Database(folder / "colloquy.db"), create_registry(chosen)
    return Backend(chosen, database, create_engine(chosen), Shelf(), registry, named=create_served(chosen.engines))


def told(backend: Backend) -> bool:
    """Whether it is known of every engine how it is."""
    return [info.health.state for info in backend.engines()] == ["ready", "ready", "down"]


@asynccontextmanager
async def two(folder: Path, main: FakeServer, large: FakeServer, **groups: dict[str, object]) -> AsyncIterator[Backend]:
    """As `built`, open and started."""
    async with serving(main, large):
        backend = built(folder, main, large, **groups)
        await backend.open()
        await backend.start()
        await until(lambda: told(backend))
        try:
            yield backend
        finally:
            await backend.aclose()


async def compared(backend: Backend, *sides: Side) -> Comparison:
    ticket = await backend.comparisons.begin("ann", "What is it?", sides)
    await asyncio.gather(*(answer(backend, generation) for generation in ticket.generation_ids))
    return await backend.comparisons.get("ann", ticket.comparison_id)


def models(server: FakeServer) -> Sequence[object]:
    return [request["model"] for request in server.requests]
