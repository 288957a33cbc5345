"""What the supervisor promises: the loop never waits for a start, a death is mended, and hopeless is hopeless."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from app.backend.engines.supervisor import HopelessError, Report, Supervisor
from app.backend.errors import Unavailable
from app.backend.types import Health

pytestmark = pytest.mark.anyio


def ready(health: Health) -> bool:
    return health.state == "ready"


def down(health: Health) -> bool:
    return health.state == "down"


class Thing:
    """Something that lives until it is told to die."""

    def __init__(self) -> None:
        self.killed = self.attached = False
        self.shut_down = threading.Event()

    def dead(self) -> bool:
        return self.killed

    async def attach(self) -> None:
        self.attached = True

    def shut(self) -> None:
        self.shut_down.set()


@asynccontextmanager
async def supervised(
    boot: Callable[[Report], Thing], halt: Callable[[], None] = lambda: None
) -> AsyncIterator[Supervisor[Thing]]:
    keeper = Supervisor(boot, halt, expected_s=60, pause_s=0, watch_s=0)
    await keeper.start()
    yield keeper
    await keeper.aclose()


def in_turn(*steps: Thing | Exception) -> Callable[[Report], Thing]:
    left: Iterator[Thing | Exception] = iter(steps)

    def boot(report: Report) -> Thing:
        step = next(left)
        if isinstance(step, Exception):
            raise step
        return step

    return boot


async def test_the_loop_runs_while_a_start_takes_long() -> None:
    go = threading.Event()

    def boot(report: Report) -> Thing:
        report("loading")
        go.wait()
        return Thing()

    async with supervised(boot) as keeper:
        await keeper.until(lambda health: health.detail == "loading")
        assert keeper.health().expected_s == 60
        with pytest.raises(Unavailable, match="loading"):
            keeper.current()
        go.set()
        assert (await keeper.until(ready)).detail == ""
        assert keeper.current().attached


async def test_a_dead_one_is_shut_and_replaced() -> None:
    first, second = Thing(), Thing()
    async with supervised(in_turn(first, second)) as keeper:
        await keeper.until(ready)
        first.killed = True
        assert "died" in (await keeper.until(down)).detail
        await keeper.until(ready)
        assert first.shut_down.is_set()
        assert keeper.current() is second


async def test_one_that_cannot_be_shut_is_replaced_all_the_same() -> None:
    class Stuck(Thing):
        def shut(self) -> None:
            raise OSError("its socket is gone")

    first, second = Stuck(), Thing()
    async with supervised(in_turn(first, second)) as keeper:
        await keeper.until(ready)
        first.killed = True
        async with asyncio.timeout(5):
            await keeper.until(down)
            await keeper.until(ready)
        assert keeper.current() is second


async def test_a_failed_start_is_tried_again() -> None:
    async with supervised(in_turn(RuntimeError("full"), Thing())) as keeper:
        assert (await keeper.until(ready)).state == "ready"


async def test_it_gives_up_after_three_failed_starts_in_a_row() -> None:
    async with supervised(in_turn(*[RuntimeError("full")] * 3, Thing())) as keeper:
        assert (await keeper.until(lambda health: "3 times" in health.detail)).state == "down"


async def test_a_hopeless_start_is_not_tried_again_and_says_why() -> None:
    async with supervised(in_turn(HopelessError("No such model."), Thing())) as keeper:
        assert (await keeper.until(down)).detail == "No such model."
        with pytest.raises(Unavailable, match="No such model"):
            keeper.current()


async def test_closing_shuts_the_living_one() -> None:
    thing = Thing()
    async with supervised(in_turn(thing)) as keeper:
        await keeper.until(ready)
    assert thing.shut_down.is_set()
    assert keeper.health().state == "stopped"


async def test_closing_during_a_start_returns_at_once_and_shuts_what_still_comes() -> None:
    go, halted, thing = threading.Event(), threading.Event(), Thing()

    def boot(report: Report) -> Thing:
        report("loading")
        go.wait()
        return thing

    async with supervised(boot, halted.set) as keeper:
        await keeper.until(lambda health: health.detail == "loading")
    assert halted.is_set()
    go.set()
    assert await asyncio.to_thread(thing.shut_down.wait, 30)
    assert keeper.health().state == "stopped"
