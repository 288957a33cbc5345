"""The processes of a real engine, as the operating system sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import psutil


def engine_processes(parent: int) -> list[psutil.Process]:
    """All living descendants but Python's own helper."""
    found = []
    for process in psutil.Process(parent).children(recursive=True):
        with suppress(psutil.Error):
            if (command := " ".join(process.cmdline())) and "resource_tracker" not in command:
                found.append(process)
    return found


async def eventually(holds: Callable[[], bool], within_s: float) -> float:
    """How long it took."""
    begin = time.monotonic()
    while not holds():
        assert time.monotonic() - begin < within_s
        await asyncio.sleep(0.01)
    return time.monotonic() - begin
