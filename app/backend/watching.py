"""Keeps the admission in step with the parts and with the time, and logs when a part is not as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from app.backend.admission import Admission, gate
from app.backend.errors import ColloquyError
from app.backend.telemetry import Telemetry
from app.backend.types import Health, HealthState

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
    while True:
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
        due = clock() + WATCH_S
        await asyncio.sleep(WATCH_S)
        telemetry.loop_lag.observe(clock() - due)
