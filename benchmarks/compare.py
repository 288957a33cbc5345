"""What comparing costs, and whether its columns leave each other alone. On the real engine or the scripted one.

Shared work: each question is asked once in one column and once in two, on an empty prefix cache each time. Reported
for several pairs of columns:

    uncached      prompt tokens the engine computed for both columns / for the first one alone
    embeddings    times a question was encoded for both columns, a question
    searches      searches that were made for both columns, a question

The columns of the first pair read the same prompt and draw with another temperature: they are held to the target. The
others show what methods share that differ; why they are not held to it is said beside each.

Independence: four columns with and without one that is ten times slower (its tokens are held back on their way
from the engine), in turns: with, without, without, with. `others` is the total time of the other three, with / without,
as the median over blocks, with its 95 % interval. The slow one is read to its end in the first blocks, for
`slow_column`, and stopped in the later ones.

Run: python benchmarks/compare.py [--json] [--only shared|independence] [--questions 8] [--blocks 24]
     [--profile cpu|scripted] [--data DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from held import MARK, Held  # noqa: E402

from app.backend.records import Generation, Question, Side  # noqa: E402
from app.backend.service import Backend  # noqa: E402

ME = "guest-benchmark"
WHOLE = 2
"""Blocks in which the slow column is read to its end."""


@dataclass(frozen=True)
class Pair:
    """Two columns. Those that read other prompts are not held to the target; `unjudged` says why."""

    left: Side
    right: Side
    unjudged: str = ""

    @property
    def name(self) -> str:
        return f"{self.left.pipeline}, {'warmer' if self.left.pipeline == self.right.pipeline else self.right.pipeline}"


PAIRS = (
    Pair(Side("naive"), Side("naive", params={"temperature": 0.7})),
    Pair(Side("naive"), Side("crag"), "crag judges each passage in a prompt of its own before it answers"),
    Pair(Side("naive"), Side("sure"), "sure reads the passages in the prompts of its paper, not in the answer's"),
    Pair(Side("naive"), Side("hyde"), "hyde searches with another text, so it reads other passages"),
    Pair(Side("naive"), Side("direct"), "direct reads no passages"),
)


class House:
    """A backend in this process whose embeddings and searches are counted."""

    def __init__(self, profile: str, data: Path) -> None:
        from app.backend.engines import create_engine
        from app.backend.pipelines.registry import create_registry
        from app.backend.retrieval import create_retriever
        from app.backend.storage.database import Database
        from app.backend.telemetry import configure_logging
        from app.configuration import load

        configure_logging(quiet=True)
        settings = load({"data": str(data)}, profile=profile)
        self.engine = Held(create_engine(settings))
        self.retriever = create_retriever(settings)
        self.embedded: list[str] = []
        self.searched: list[Sequence[Any]] = []
        self._folder = tempfile.TemporaryDirectory()
        database = Database(Path(self._folder.name) / "colloquy.db")
        self.backend = Backend(settings, database, self.engine, self.retriever, create_registry(settings))

    async def start(self) -> None:
        await self.backend.open()
        await self.backend.start()
        while not all(h().state == "ready" for h in (self.backend.engine_health, self.backend.retriever_health)):
            await asyncio.sleep(0.5)
        if self.retriever._encoder:  # type: ignore[attr-defined]
            encoder = await self.retriever._encoder.get()  # type: ignore[attr-defined]
            encode = encoder.encode_queries

            def counted(texts: Sequence[str]) -> object:
                self.embedded += texts
                return encode(texts)

            encoder.encode_queries = counted
        find = self.retriever._find  # type: ignore[attr-defined]

        async def counted_find(*what: Any) -> object:
            self.searched.append(what)
            return await find(*what)

        self.retriever._find = counted_find  # type: ignore[attr-defined]

    async def stop(self) -> None:
        await self.backend.aclose()
        self._folder.cleanup()

    async def forget(self) -> None:
        """An empty prefix cache, and no memory of searches."""
        self.embedded, self.searched = [], []
        self.retriever._cache.clear()  # type: ignore[attr-defined]
        self.retriever._dense._work._known.clear()  # type: ignore[attr-defined]
        engine = self.engine.engine
        if hasattr(engine, "core"):
            await engine.core().engine.reset_prefix_cache()
        else:
            engine._remembered.clear()  # type: ignore[attr-defined]

    async def alone(self, question: str, side: Side) -> Generation:
        talk = (await self.backend.create_conversation(ME)).id
        asked = Question(question, side.pipeline, params=side.params, lane="compare")
        ticket = await self.backend.ask(ME, talk, asked)
        await self._end(ticket.generation_id)
        return await self.backend.generation(ME, ticket.generation_id)

    async def together(self, question: str, sides: Sequence[Side], until: int = 4) -> tuple[Generation, ...]:
        """All columns to their end; those after the first `until` are stopped when these have ended."""
        ticket = await self.backend.comparisons.begin(ME, question, sides)
        readers = [asyncio.create_task(self._end(generation)) for generation in ticket.generation_ids]
        await asyncio.gather(*readers[:until])
        for generation in ticket.generation_ids[until:]:
            await self.backend.stop(ME, generation)
        await asyncio.gather(*readers)
        made = await self.backend.comparisons.get(ME, ticket.comparison_id)
        return tuple(column.generation for column in made.columns)

    async def _end(self, generation_id: str) -> None:
        async with aclosing(self.backend.events(ME, generation_id)) as events:
            async for _ in events:
                pass


def uncached(generations: Sequence[Generation]) -> int:
    return sum(g.usage.prompt_tokens - g.usage.cached_tokens for g in generations)


async def shared(house: House, questions: Sequence[str]) -> list[dict[str, object]]:
    results: list[dict[str, object]] = []
    for pair in PAIRS:
        ratios, embedded, searched = [], [], []
        for question in questions:
            await house.forget()
            one = await house.alone(question, pair.left)
            await house.forget()
            both = await house.together(question, [pair.left, pair.right])
            ratios.append(uncached(both) / uncached([one]))
            embedded.append(house.embedded.count(question))
            searched.append(sum(text == question for (_, text), *_ in house.searched))
        results.append(
            {
                "columns": pair.name,
                "uncached": round(statistics.median(ratios), 3),
                "worst": round(max(ratios), 3),
                "embeddings": statistics.fmean(embedded),
                "searches": statistics.fmean(searched),
                **({"not_judged": pair.unjudged} if pair.unjudged else {}),
            }
        )
        print(results[-1], file=sys.stderr, flush=True)
    return results


async def independence(house: House, questions: Sequence[str], blocks: int) -> dict[str, object]:
    normal = Side("naive", params={"max_tokens": 64})
    sides = [normal, normal, normal, Side("naive", params={"max_tokens": 64, "top_p": MARK})]
    ratios, slower = [], []
    for block in range(blocks):
        question, whole = questions[block % len(questions)], block < WHOLE
        times: dict[bool, list[list[float]]] = {False: [], True: []}
        for hold in (False, True, True, False) if block % 2 else (True, False, False, True):
            house.engine.hold = hold
            await house.forget()
            made = await house.together(question, sides, until=4 if whole else 3)
            times[hold].append([g.timings_ms["total"] for g in made])
        house.engine.hold = False
        held, free = (statistics.fmean(statistics.median(run[:3]) for run in times[hold]) for hold in (True, False))
        ratios.append(held / free)
        if whole:
            slower.append(times[True][0][3] / times[False][0][3])
        print(block, round(ratios[-1], 3), [round(s, 1) for s in slower], file=sys.stderr, flush=True)
    low, high = interval(ratios)
    return {
        "slow_column": round(statistics.median(slower), 1),
        "others": round(statistics.median(ratios), 3),
        "others_95": [round(low, 3), round(high, 3)],
        "blocks": blocks,
    }


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % of the medians of resamples."""
    import random

    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(2000))
    return medians[50], medians[1949]


def targets(results: Mapping[str, Any]) -> dict[str, bool]:
    """What two columns that read the same cost, and how little a slow one does to the others."""
    found = {}
    if judged := [pair for pair in results.get("shared", ()) if "not_judged" not in pair]:
        found["shared"] = all(p["uncached"] <= 1.6 and p["embeddings"] <= 1 and p["searches"] == 1 for p in judged)
    if beside := results.get("independence"):
        found["independence"] = abs(beside["others"] - 1) <= 0.05
    return found


async def main(options: argparse.Namespace) -> dict[str, Any]:
    lines = (ROOT / "assets/demo/questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [q["question"] for q in map(json.loads, lines) if q["metadata"].get("lang", "en") == "en"]
    house = House(options.profile, options.data or Path(tempfile.mkdtemp()))
    try:
        await house.start()
        await house.alone(questions[-1], Side("naive"))
        results: dict[str, Any] = {"profile": options.profile}
        if options.only != "independence":
            results["shared"] = await shared(house, questions[: options.questions])
        if options.only != "shared":
            results["independence"] = await independence(house, questions, options.blocks)
        return results
    finally:
        await house.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--only", choices=("shared", "independence"))
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    measured = asyncio.run(main(arguments))
    from crowd import report  # here, because the engine's processes import this file too

    sys.exit(report("compare", targets(measured), measured, arguments))
