"""Hours in small: users come, ask, stop, leave in the middle, tidy up and go, again and again. Does anything pile up?

Each life is a new guest with connections of its own. Every few seconds the server's memory, open files, threads and the
tasks of its event loop are noted. Once the first fifth is over, a line is laid through each; what it rises over all the
time must stay below `--share` of its height, or within what the points scatter around it.

Run: python benchmarks/soak.py [--json] [--minutes 30] [--users 20] [--profile scripted]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence

import aiohttp
from crowd import ROOT, Server, User, arguments, report, serving, slope

SAMPLE_S, WARM_UP, SCATTER = 5.0, 0.2, 2.0
GRACE_S = 2
FINE = frozenset({"done", "stopped", "left", "refused"})
QUOTA = {"running": 4, "queued": 8, "per_minute": 10_000, "per_day": 1_000_000}


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
            await asyncio.sleep(dice.uniform(0.1, 1.5))
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


async def lives(server: Server, until: float, number: int, questions: Sequence[str], seen: Counter[str]) -> None:
    dice = random.Random(number)
    while time.monotonic() < until:
        try:
            await life(server, questions, dice, seen)
        except (aiohttp.ClientError, KeyError) as error:
            seen[f"failed: {error!r}"[:120]] += 1
        seen["lives"] += 1
        await asyncio.sleep(dice.uniform(0, 1))


async def sample(server: Server, session: aiohttp.ClientSession) -> dict[str, float]:
    async with session.get("/metrics") as reply:
        lines = (await reply.text()).splitlines()
    tasks = next(line for line in lines if line.startswith("colloquy_tasks "))
    return server.vitals() | {"tasks": float(tasks.split()[1])}


def flat(points: Sequence[tuple[float, float]], share: float) -> tuple[bool, dict[str, float]]:
    """Whether a line through `points` rises by less than `share` of its height, or than they scatter around it."""
    rise = slope(points)
    mean_x, mean_y = (statistics.fmean(axis) for axis in zip(*points, strict=True))
    scatter = statistics.pstdev(y - mean_y - rise * (x - mean_x) for x, y in points)
    grown = rise * (points[-1][0] - points[0][0])
    shown = {"mean": round(mean_y, 1), "grown": round(grown, 2), "scatter": round(scatter, 2), "last": points[-1][1]}
    return grown <= max(share * mean_y, SCATTER * scatter), shown


async def main(options: argparse.Namespace) -> int:
    lines = (ROOT / "assets/demo/questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [question["question"] for question in map(json.loads, lines)]
    settings = {"generation": {"grace_s": GRACE_S}, "quotas": dict.fromkeys(("local", "guest"), QUOTA)}
    samples: list[tuple[float, dict[str, float]]] = []
    seen: Counter[str] = Counter()
    async with serving(options, settings) as server, server.crowd() as session:
        began = time.monotonic()
        until = began + 60 * options.minutes
        users = [asyncio.create_task(lives(server, until, n, questions, seen)) for n in range(options.users)]
        while time.monotonic() < until:
            await asyncio.sleep(SAMPLE_S)
            samples.append((time.monotonic() - began, await sample(server, session)))
            if len(samples) % 12 == 0:
                rounded = {name: round(value, 1) for name, value in samples[-1][1].items()}
                print(round(samples[-1][0]), rounded, dict(seen), file=sys.stderr, flush=True)
        await asyncio.gather(*users)
        await asyncio.sleep(GRACE_S + 2 * SAMPLE_S)
        rest = await sample(server, session)
    counted = samples[int(WARM_UP * len(samples)) :]
    found = {name: flat([(at, vitals[name]) for at, vitals in counted], options.share) for name in rest}
    errors = {name: count for name, count in seen.items() if name not in FINE | {"lives"}}
    targets = {f"{name}_flat": is_flat for name, (is_flat, _) in found.items()} | {"no_errors": not errors}
    results = {
        "minutes": options.minutes,
        "seen": dict(seen),
        "errors": errors,
        **{name: shown for name, (_, shown) in found.items()},
        "at_rest": {name: round(value, 1) for name, value in rest.items()},
    }
    return report("soak", targets, results, options)


if __name__ == "__main__":
    parser = arguments(__doc__, profile="scripted")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--users", type=int, default=20, help="how many are there at once")
    parser.add_argument("--share", type=float, default=0.05, help="of its height that a line may rise")
    sys.exit(asyncio.run(main(parser.parse_args())))
