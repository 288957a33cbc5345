"""Keeps the admission in step with the parts and with the time, and logs when a part is not as it was.

Invariant: whatever goes wrong at one look, the next one comes; nobody's turn would come any more without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog

from app.backend.admission import Admission, gate
from app.backend.errors import ColloquyError
from app.backend.telemetry import Telemetry
from app.backend.types import Health, HealthState

log = structlog.get_logger(__name__)

WATCH_S = 0.2


async def keep_watch(
    parts: Callable[[], Mapping[str, Health]],
    admission: Admission,
    resume: Callable[[], Awaitable[None]],
    telemetry: Telemetry,
) -> None:
    """While the server runs. `parts` are the engine, the retriever and others, by name; `resume` takes up what the last
    process left.
    """
    told: dict[str, HealthState] = {}
    resumed = False
    clock = asyncio.get_running_loop().time

    async def look() -> None:
        nonlocal resumed
        now = parts()
        admission.set_gate(gate(now["engine"], now["retriever"]))
        admission.tick()
        if not resumed and now["retriever"].state == "ready":  # which knows its corpora then
            with suppress(ColloquyError):
                await resume()
                resumed = True
        for name, health in now.items():
            if told.get(name) != health.state:
                telemetry.part(name, health)
            told[name] = health.state

    while True:
        try:
            await look()
        except Exception:
            log.exception("a look at the queue failed")
        due = clock() + WATCH_S
        await asyncio.sleep(WATCH_S)
        telemetry.loop_lag.observe(clock() - due)
