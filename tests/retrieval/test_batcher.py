"""What waits is done together, what fails fails alone, what was cancelled is not done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest

from app.backend.errors import Unavailable
from app.backend.retrieval.batcher import Batcher

pytestmark = pytest.mark.anyio


class Work:
    """Doubles numbers; the first batch waits until `open` is set, so that others pile up behind it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self.began = threading.Event()
        self.open = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.threads.add(threading.get_ident())
        self.began.set()
        assert self.open.wait(10)
        if 13 in items:
            raise ValueError("thirteen")
        return [2 * item for item in items]


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def batcher(work: Work) -> Iterator[Batcher[int, int]]:
    batcher = Batcher("test", work, 4)
    yield batcher
    work.open.set()
    batcher.close()


async def pile_up(batcher: Batcher[int, int], work: Work, items: Sequence[int]) -> list[asyncio.Task[int]]:
    first = asyncio.create_task(batcher.submit(0))
    await asyncio.to_thread(work.began.wait, 10)
    tasks = [asyncio.create_task(batcher.submit(item)) for item in items]
    await asyncio.sleep(0)
    return [first, *tasks]


async def test_whatever_waits_is_done_together_up_to_the_limit(batcher: Batcher[int, int], work: Work) -> None:
    tasks = await pile_up(batcher, work, [1, 2, 3, 4, 5])
    work.open.set()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8, 10]
    assert work.batches == [[0], [1, 2, 3, 4], [5]]


async def test_all_work_happens_in_one_thread_that_is_not_the_callers(batcher: Batcher[int, int], work: Work) -> None:
    work.open.set()
    await asyncio.gather(*(batcher.submit(item) for item in range(9)))
    assert len(work.threads) == 1 and threading.get_ident() not in work.threads


async def test_one_that_fails_fails_alone(batcher: Batcher[int, int], work: Work) -> None:
    tasks = await pile_up(batcher, work, [1, 13, 3])
    work.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [int, int, ValueError, int]
    assert await batcher.submit(7) == 14


async def test_what_was_cancelled_while_waiting_is_not_done(batcher: Batcher[int, int], work: Work) -> None:
    tasks = await pile_up(batcher, work, [1, 2, 3])
    tasks[2].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[2]
    work.open.set()
    await asyncio.gather(tasks[0], tasks[1], tasks[3])
    assert work.batches == [[0], [1, 3]]


async def test_work_that_answers_too_little_is_an_error_for_its_waiters_not_the_end() -> None:
    batcher: Batcher[int, int] = Batcher("short", lambda items: [1][: len(items) - 1], 4)
    for _ in range(2):
        with pytest.raises(ValueError, match="zip"):
            await batcher.submit(1)
    batcher.close()


async def test_after_closing_nothing_is_taken_but_what_waited_is_done(work: Work) -> None:
    batcher = Batcher("test", work, 4)
    tasks = await pile_up(batcher, work, [1])
    batcher.close()
    with pytest.raises(Unavailable):
        await batcher.submit(2)
    work.open.set()
    assert await asyncio.gather(*tasks) == [0, 2]
