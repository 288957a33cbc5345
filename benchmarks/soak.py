"""Hours in small: users come, ask, compare, share, lose their connection, stop, leave, tidy up and go, again and again.
Does anything pile up?

Each life is a new guest with connections of its own. After a fifth of the time, and so many lives that all that is kept
up to a bound (the scripted engine's last thousand calls) is full, all users go, and the server is seen at rest: memory,
open files, threads, tasks of its event loop, and the blocks that Python's allocator has given out. Then come the other
four fifths, in which it is seen every few seconds, and a second rest. Two things must hold:

    flat    a line through what was seen under load rises by less than `--share` of its height, or within the scatter
    back    at the second rest there is what there was at the first: no thread, file or task more, memory within
            `--share`, and at most a few blocks for each life in between (who asked today is remembered until midnight)

Run: python benchmarks/soak.py [--json] [--minutes 30] [--users 20] [--profile scripted]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import aiohttp
from crowd import ROOT, Server, User, arguments, report, serving, slope

SAMPLE_S, WARM_UP, SCATTER = 5.0, 0.2, 2.0
WARM_LIVES = 400
GRACE_S = 2
REST_S = GRACE_S + 2 * SAMPLE_S
BLOCKS_A_LIFE = 20
SPARE = {"threads": 1.0, "files": 2.0, "tasks": 1.0}
"""What may be there by chance when we look."""
FINE = frozenset({"done", "stopped", "left", "refused", "resumed", "compared", "opened"})
SIDES = [{"pipeline": "direct"}, {"pipeline": "naive"}]
QUOTA = {"running": 4, "queued": 8, "per_minute": 10_000, "per_day": 1_000_000}
ID = re.compile(rb"^id: (\d+)$", re.MULTILINE)
Vitals = dict[str, float]


async def life(server: Server, questions: Sequence[str], dice: random.Random, seen: Counter[str]) -> None:
    """One guest, from the first call to the last."""
    async with server.crowd() as session:
        user = User(session)
        conversation = await user.open()
        for _ in range(dice.randint(1, 4)):
            plan: dict[str, object] = {"pipeline": dice.choice(("direct", "naive")), "conversation": conversation}
            if dice.random() < 0.2:
                plan["leave_after_s"] = dice.uniform(0.05, 1.0)
            answer = await user.ask(dice.choice(questions), **plan)  # type: ignore[arg-type]
            seen[answer.status] += 1
            if answer.status == "done" and dice.random() < 0.3:
                await again_and_stop(user, answer.generation_id, dice, seen)
            if dice.random() < 0.3:
                await lose_connection(user, conversation, dice.choice(questions), seen)
            await asyncio.sleep(dice.uniform(0.1, 1.5))
        if dice.random() < 0.3:
            await compare(user, dice.choice(questions), seen)
        if dice.random() < 0.3:
            await share(user, User(session), conversation, seen)
        await user.call("GET", f"/api/conversations?q={dice.choice(questions).split()[0]}")
        await user.call("GET", f"/api/conversations/{conversation}/export?format=md")
        await user.call("PATCH", f"/api/conversations/{conversation}", {"title": "Soaked"})
        if dice.random() < 0.5:
            await user.call("DELETE", f"/api/conversations/{conversation}")


async def again_and_stop(user: User, generation: str, dice: random.Random, seen: Counter[str]) -> None:
    """Another answer to the same question, stopped before it is through."""
    status, ticket = await user.call("POST", f"/api/generations/{generation}/regenerate")
    if status == 202:
        await asyncio.sleep(dice.uniform(0.0, 0.5))
        await user.call("POST", f"/api/generations/{ticket['generation_id']}/stop")
    seen["stopped" if status == 202 else "refused"] += 1


async def lose_connection(user: User, conversation: str, question: str, seen: Counter[str]) -> None:
    """Read the beginning of an answer, and the rest on another connection."""
    asked = {"question": question, "pipeline": "naive"}
    status, ticket = await user.call("POST", f"/api/conversations/{conversation}/ask", asked)
    if status != 202:
        seen["refused"] += 1
        return
    async with user.stream(ticket["generation_id"]) as reply:
        begun = ID.findall(await reply.content.readany())
    last = int(begun[-1]) if begun else 0
    async with user.stream(ticket["generation_id"], last) as reply:
        rest = await reply.read()
    whole = rest.count(b"event: done") == 1 and all(int(number) > last for number in ID.findall(rest))
    seen["resumed" if whole else "failed: torn"] += 1


async def compare(user: User, question: str, seen: Counter[str]) -> None:
    """Two columns, blind, read side by side, and a vote."""
    status, ticket = await user.call("POST", "/api/compare", {"question": question, "sides": SIDES, "blind": True})
    if status != 202:
        seen["refused"] += 1
        return

    async def column(generation: str) -> bytes:
        async with user.stream(generation) as reply:
            return await reply.read()

    read = await asyncio.gather(*map(column, ticket["generation_ids"]))
    voted, _ = await user.call("POST", f"/api/comparisons/{ticket['comparison_id']}/vote", {"winner": "a"})
    whole = voted == 200 and all(b"event: done" in events for events in read)
    seen["compared" if whole else "failed: comparison"] += 1


async def share(user: User, other: User, conversation: str, seen: Counter[str]) -> None:
    """A link that somebody else opens, and that is taken back."""
    _, made = await user.call("POST", f"/api/conversations/{conversation}/share", {})
    opened, _ = await other.call("GET", urlsplit(made["url"]).path)
    await user.call("DELETE", f"/api/shares/{made['id']}")
    seen["opened" if opened == 200 else "failed: link"] += 1


async def lives(
    server: Server, over: Callable[[], bool], number: int, questions: Sequence[str], seen: Counter[str]
) -> None:
    dice = random.Random(number)
    while not over():
        try:
            await life(server, questions, dice, seen)
        except (aiohttp.ClientError, KeyError) as error:
            seen[f"failed: {error!r}"[:120]] += 1
        seen["lives"] += 1
        await asyncio.sleep(dice.uniform(0, 1))


async def sample(server: Server, session: aiohttp.ClientSession) -> Vitals:
    async with session.get("/metrics") as reply:
        told = dict(line.rsplit(" ", 1) for line in (await reply.text()).splitlines() if not line.startswith("#"))
    counted = {"tasks": float(told["colloquy_tasks"]), "blocks": float(told["colloquy_memory_blocks"])}
    return server.vitals() | counted


def flat(points: Sequence[tuple[float, float]], share: float) -> tuple[bool, Vitals]:
    """Whether a line through `points` rises by less than `share` of its height, or than they scatter around it."""
    rise = slope(points)
    mean_x, mean_y = (statistics.fmean(axis) for axis in zip(*points, strict=True))
    scatter = statistics.pstdev(y - mean_y - rise * (x - mean_x) for x, y in points)
    grown = rise * (points[-1][0] - points[0][0])
    shown = {"mean": round(mean_y, 1), "grown": round(grown, 2), "scatter": round(scatter, 2), "last": points[-1][1]}
    return grown <= max(share * mean_y, SCATTER * scatter), shown


def back(first: Vitals, second: Vitals, lives: int, share: float) -> dict[str, bool]:
    """Whether there is at the second rest what there was at the first, `lives` before."""
    spare = SPARE | {"memory_mb": share * first["memory_mb"], "blocks": BLOCKS_A_LIFE * lives}
    return {f"{name}_back": second[name] <= first[name] + spare[name] for name in first}


async def main(options: argparse.Namespace) -> int:
    lines = (ROOT / "assets/demo/questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [question["question"] for question in map(json.loads, lines)]
    settings = {"generation": {"grace_s": GRACE_S}, "quotas": dict.fromkeys(("local", "guest"), QUOTA)}
    seen: Counter[str] = Counter()
    async with serving(options, settings) as server, server.crowd() as session:

        async def rush(minutes: float, first: int, least: int = 0) -> list[tuple[float, Vitals]]:
            """Users for so long and at least so many lives, and what was seen meanwhile; all are gone afterwards."""
            samples: list[tuple[float, Vitals]] = []
            until, enough = time.monotonic() + 60 * minutes, seen["lives"] + least

            def over() -> bool:
                return time.monotonic() >= until and seen["lives"] >= enough

            numbers = range(first, first + options.users)
            users = [asyncio.create_task(lives(server, over, number, questions, seen)) for number in numbers]
            while not over():
                await asyncio.sleep(SAMPLE_S)
                samples.append((time.monotonic(), await sample(server, session)))
                if len(samples) % 12 == 0:
                    rounded = {name: round(value, 1) for name, value in samples[-1][1].items()}
                    print(rounded, dict(seen), file=sys.stderr, flush=True)
            await asyncio.gather(*users)
            await asyncio.sleep(REST_S)
            return samples

        await rush(WARM_UP * options.minutes, 0, WARM_LIVES)
        first, lived = await sample(server, session), seen["lives"]
        samples = await rush((1 - WARM_UP) * options.minutes, options.users)
        second, lived = await sample(server, session), seen["lives"] - lived
    found = {name: flat([(at, vitals[name]) for at, vitals in samples], options.share) for name in second}
    errors = {name: count for name, count in seen.items() if name not in FINE | {"lives"}}
    targets = {f"{name}_flat": is_flat for name, (is_flat, _) in found.items()}
    targets |= back(first, second, lived, options.share) | {"no_errors": not errors}
    results = {
        "minutes": options.minutes,
        "seen": dict(seen),
        "errors": errors,
        **{name: shown for name, (_, shown) in found.items()},
        "at_rest": {name: [round(first[name], 1), round(second[name], 1)] for name in first},
        "blocks_a_life": round((second["blocks"] - first["blocks"]) / max(1, lived), 2),
    }
    return report("soak", targets, results, options)


if __name__ == "__main__":
    parser = arguments(__doc__, profile="scripted")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--users", type=int, default=20, help="how many are there at once")
    parser.add_argument("--share", type=float, default=0.02, help="of its height that a line may rise")
    sys.exit(asyncio.run(main(parser.parse_args())))
