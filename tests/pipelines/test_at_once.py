"""No method holds others up: the calls of one answer take so many places in the engine and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest

from app.backend.engines.scripted import Call, Item, ScriptedEngine
from app.backend.events import Done
from app.backend.metering import MeteredEngine
from app.backend.service import Question
from app.backend.types import Delta, Passage, Prompt, RetrieverName, Sampling
from tests import asking
from tests.doubles import Shelf, running

pytestmark = pytest.mark.anyio

SEATS, CALLS = 20, 24


class Crowded(ScriptedEngine):
    """Serves so many calls at a time, in the order in which they come, and holds those that are not about tea."""

    def __init__(self) -> None:
        super().__init__(self._play_part, tokens_per_s=0)
        self.hold = asyncio.Event()
        self.waiting = 0
        self._seats = asyncio.Semaphore(SEATS)

    def _play_part(self, call: Call) -> Sequence[Item]:
        return ["Tea."] if "tea" in call.messages[-1].content else [self.hold, "Word."]

    async def stream(
        self, prompt: Prompt, sampling: Sampling, *, request_id: str, cache_salt: str | None = None
    ) -> AsyncGenerator[Delta, None]:
        self.waiting += 1
        async with self._seats:
            self.waiting -= 1
            answer = super().stream(prompt, sampling, request_id=request_id, cache_salt=cache_salt)
            async with aclosing(answer) as deltas:
                async for delta in deltas:
                    yield delta


class Library(Shelf):
    async def search(
        self,
        query: str,
        *,
        corpus: str,
        top_k: int,
        retriever: RetrieverName | None = None,
        cache_salt: str | None = None,
    ) -> tuple[Passage, ...]:
        return tuple(Passage(f"p{n}", f"Book {n}", f"Fact {n} is so.", 1.0, "shelf") for n in range(top_k))


async def test_beside_a_method_with_many_calls_a_light_question_is_answered_at_once(tmp_path: Path) -> None:
    engine = Crowded()
    async with running(tmp_path, engine, Library(), generation={"calls_at_once": 16}) as backend:
        params = {"mode": "always_retrieve", "retrieval_topk": CALLS, "context_topk": CALLS}
        question = Question("What is so?", pipeline="selfrag", corpus="shelf", params=params)
        heavy = await backend.ask("ann", await asking.chat(backend), question)
        while engine.open + engine.waiting < 16:
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            light = await asking.ask(backend, "Is there tea?", pipeline="direct")
        assert isinstance(light[-1].event, Done)
        assert light[-1].event.answer == "Tea."
        assert (engine.open, engine.waiting) == (16, 0)
        engine.hold.set()
        *_, last = await asking.answer(backend, heavy.generation_id)
        assert isinstance(last.event, Done)
        assert last.event.usage.engine_calls > CALLS


async def test_so_many_calls_run_at_once_and_the_others_follow_in_their_order() -> None:
    hold = asyncio.Event()
    inner = ScriptedEngine(lambda call: [hold, call.messages[0].content], tokens_per_s=0)
    await inner.start()
    engine = MeteredEngine(inner, None, at_once=2)

    async def call(prompt: str) -> None:
        async for _ in engine.stream(prompt, Sampling(8), request_id="r"):
            pass

    async with asyncio.TaskGroup() as calls:
        tasks = [calls.create_task(call(prompt)) for prompt in "abcd"]
        while inner.open < 2:
            await asyncio.sleep(0)
        tasks[0].cancel()  # one that is broken off makes room
        while len(inner.calls) < 3:
            await asyncio.sleep(0)
        assert (inner.open, [call.messages[0].content for call in inner.calls]) == (2, ["a", "b", "c"])
        hold.set()
    assert (inner.finished, inner.aborted, engine.usage.engine_calls) == (3, 1, 4)
