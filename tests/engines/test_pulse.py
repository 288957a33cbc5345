"""An engine is silent when it owes an output and shows no sign of life, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from app.backend.engines.pulse import Pulse
from tests.admission.house import Clock, settle

pytestmark = pytest.mark.anyio


async def taken(queue: asyncio.Queue[str | None]) -> AsyncGenerator[str, None]:
    while (item := await queue.get()) is not None:
        yield item


async def test_each_step_is_a_sign_of_life_also_one_without_an_output() -> None:
    clock, queue = Clock(), asyncio.Queue()
    pulse = Pulse(10, clock)
    outputs = pulse.over(taken(queue))
    waiting = asyncio.ensure_future(anext(outputs))
    await settle()
    for _ in range(5):  # a long prompt, in parts
        clock.at += 9
        assert not pulse.lost
        pulse.beat()
    clock.at += 11
    assert pulse.lost
    queue.put_nowait("late")
    assert await waiting == "late"
    assert not pulse.lost
    await outputs.aclose()


async def test_who_waits_for_nothing_misses_nothing() -> None:
    clock, queue = Clock(), asyncio.Queue()
    pulse = Pulse(10, clock)
    assert not pulse.lost
    queue.put_nowait("one")
    outputs = pulse.over(taken(queue))
    assert await anext(outputs) == "one"
    clock.at += 100  # the reader has something else to do
    assert not pulse.lost
    waiting = asyncio.ensure_future(anext(outputs, "end"))
    await settle()
    assert not pulse.lost, "the wait begins now"
    queue.put_nowait(None)
    assert await waiting == "end"
    clock.at += 100
    assert not pulse.lost


async def test_who_comes_later_does_not_hide_that_the_first_one_hears_nothing() -> None:
    clock, silent = Clock(), asyncio.Queue()
    pulse = Pulse(10, clock)
    first = asyncio.ensure_future(anext(pulse.over(taken(silent))))
    await settle()
    clock.at += 8
    second = asyncio.ensure_future(anext(pulse.over(taken(asyncio.Queue()))))
    await settle()
    second.cancel()
    clock.at += 3
    assert pulse.lost
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert not pulse.lost
