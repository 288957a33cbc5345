"""Many users at once: no error, no answer that is somebody else's, and how long they wait for the first token.

Users ask over HTTP, each with a cookie of its own, through mixed pipelines. Every question has a code of its own, which
its answer must hold and no other may: `direct` is asked to repeat it, `naive` finds it in the one passage that has it.
A small model does not always manage; so a few questions are asked alone first, and what counts is

    errors      answers that did not end in `done`
    mixed_up    answers with another question's code, with passages that are not theirs, or stored differently
    echoed      share of the answers with their own code, under load / alone

Run: python benchmarks/load.py [--json] [--profile cpu] [--users 1 8 32 100] [--rounds 2]
     python benchmarks/load.py --profile scripted --users 500
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crowd import Answer, Server, User, arguments, own_cpu_s, percentile, report, serving

ALONE = 24
MIN_ECHO = 0.9
SEARCH = {"retriever": "bm25", "retrieval_topk": 2}
SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu", "lan", "mer")


@dataclass(frozen=True, slots=True)
class Puzzle:
    """A question whose answer must hold `code`, and the passage that has it."""

    place: str
    code: str

    @property
    def passage(self) -> dict[str, str]:
        text = f"The secret code of {self.place} is {self.code}. Whoever enters {self.place} must say {self.code}."
        return {"id": self.place, "contents": f"{self.place}\n{text}"}

    def plan(self, pipeline: str) -> dict[str, object]:
        if pipeline == "direct":
            return {"pipeline": pipeline, "question": f"Repeat this sentence: The code is {self.code}."}
        question = f"What is the secret code of {self.place}?"
        return {"pipeline": pipeline, "corpus": "codes", "params": SEARCH, "question": question}


def puzzles(count: int) -> list[Puzzle]:
    """Places and codes that are all different and that a model can spell."""
    dice = random.Random(7)
    places: set[str] = set()
    while len(places) < count:
        places.add("".join(dice.choices(SYLLABLES, k=4)).capitalize())
    codes = dice.sample(range(1000, 10_000), count)
    return [Puzzle(place, str(code)) for place, code in zip(sorted(places), codes, strict=True)]


@dataclass(frozen=True, slots=True)
class Told:
    """An answer beside its puzzle. `kept` says whether the store holds what the user saw."""

    puzzle: Puzzle
    answer: Answer
    pipeline: str
    kept: bool

    @property
    def echoed(self) -> bool:
        return self.puzzle.code in self.answer.text

    def mixed_up(self, places: Mapping[str, str]) -> bool:
        """Whether it holds a code that was neither asked for nor in its passages; `places` tells whose each code is."""
        known = {self.puzzle.place, *self.answer.passages}
        foreign = {places.get(word, self.puzzle.place) for word in re.findall(r"\d{4}", self.answer.text)} - known
        others = bool(self.answer.passages) and self.answer.passages[0] != self.puzzle.place
        return bool(foreign) or others or not self.kept


async def tell(user: User, puzzle: Puzzle, pipeline: str) -> Told:
    answer = await user.ask(**puzzle.plan(pipeline))  # type: ignore[arg-type]
    if answer.status != "done":
        return Told(puzzle, answer, pipeline, True)
    _, conversation = await user.call("GET", f"/api/conversations/{answer.conversation_id}")
    turn = conversation["turns"][0]
    stored = turn["generations"][0]
    same_text = stored["answer"].strip() == answer.text.strip()
    same_passages = tuple(passage["id"] for passage in stored["passages"]) == answer.passages
    return Told(puzzle, answer, pipeline, turn["question"] == answer.question and same_text and same_passages)


async def crowd(server: Server, users: int, rounds: int, todo: list[Puzzle]) -> tuple[list[Told], dict[str, float]]:
    """`users` at once, each asking one question after the other."""
    async with server.crowd() as session:

        async def one(number: int) -> list[Told]:
            user = User(session)
            return [
                await tell(user, todo[number * rounds + n], ("direct", "naive")[(number + n) % 2])
                for n in range(rounds)
            ]  # fmt: skip

        began, served, own = time.monotonic(), server.cpu_s(), own_cpu_s()
        told = [each for several in await asyncio.gather(*map(one, range(users))) for each in several]
        wall = time.monotonic() - began
        load = {
            "wall_s": wall,
            "server_cpu": (server.cpu_s() - served) / wall,
            "client_cpu": (own_cpu_s() - own) / wall,
        }
        return told, load


def summary(told: Sequence[Told], places: Mapping[str, str], alone: Mapping[str, float]) -> dict[str, object]:
    done = [each for each in told if each.answer.status == "done"]
    firsts = [each.answer.first_token_s for each in done]
    return {
        "questions": len(told),
        "errors": len(told) - len(done),
        "error_kinds": sorted({each.answer.status + " " + each.answer.error for each in told if each not in done}),
        "mixed_up": sum(each.mixed_up(places) for each in done),
        "echoed": round(sum(each.echoed for each in done) / max(1, len(done)), 3),
        "echoed_alone": round(sum(alone[each.pipeline] for each in done) / max(1, len(done)), 3),
        "first_token_p50_s": round(percentile(firsts, 0.5), 3),
        "first_token_p95_s": round(percentile(firsts, 0.95), 3),
    }


async def main(options: argparse.Namespace) -> int:
    most = max(options.users)
    found = puzzles(ALONE + sum(options.users) * options.rounds)
    places = {puzzle.code: puzzle.place for puzzle in found}
    room = {"max_running": most, "max_queued": 2 * most} if options.profile == "scripted" else {}
    results = []
    async with serving(options, {"admission": room}, {"codes": [puzzle.passage for puzzle in found]}) as server:
        first, _ = await crowd(server, 1, ALONE, found)
        alone = {name: sum(t.echoed for t in first if t.pipeline == name) / (ALONE / 2) for name in ("direct", "naive")}
        start = ALONE
        for users in options.users:
            told, load = await crowd(server, users, options.rounds, found[start:])
            start += users * options.rounds
            line = {"users": users, **summary(told, places, alone)}
            line["tokens_per_s"] = round(sum(each.answer.tokens for each in told) / load["wall_s"], 1)
            line |= {name: round(value, 2) for name, value in load.items()} | {
                "memory_mb": round(server.vitals()["memory_mb"])
            }
            results.append(line)
            print(line, file=sys.stderr, flush=True)
    targets = {
        "no_errors": not any(line["errors"] for line in results),
        "none_mixed_up": not any(line["mixed_up"] for line in results),
        "codes_echoed": all(line["echoed"] >= MIN_ECHO * line["echoed_alone"] for line in results),
    }
    return report("load", targets, {"echoed_alone": alone, "levels": results}, options)


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[1, 8, 32, 100])
    parser.add_argument("--rounds", type=int, default=2, help="questions a user asks, one after the other")
    sys.exit(asyncio.run(main(parser.parse_args())))
