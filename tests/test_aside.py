"""What is computed aside: one after the other, in threads that neither chats nor the end of the process waits for."""

from __future__ import annotations

import asyncio
import threading

import pytest

from app.backend.aside import Aside

pytestmark = pytest.mark.anyio


async def test_one_is_computed_at_a_time_in_a_thread_that_the_process_does_not_wait_for() -> None:
    aside, began, go_on, seen = Aside[str]("report"), asyncio.Event(), threading.Event(), list[threading.Thread]()
    loop = asyncio.get_running_loop()

    def slow() -> str:
        seen.append(threading.current_thread())
        loop.call_soon_threadsafe(began.set)
        go_on.wait(60)
        return f"{len(seen)} had begun"

    def fails() -> str:
        seen.append(threading.current_thread())
        raise ValueError("no")

    first, second = asyncio.create_task(aside.run(slow)), asyncio.create_task(aside.run(fails))
    await began.wait()
    await asyncio.to_thread(lambda: None)  # the threads that answering uses are free
    go_on.set()
    assert await first == "1 had begun"
    with pytest.raises(ValueError, match="no"):
        await second
    assert [(thread.name, thread.daemon) for thread in seen] == [("report", True)] * 2
