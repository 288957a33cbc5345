"""More questions than can be answered: is as much done as at best, and are the others told at once?

First as many users as there are slots ask one question after the other; that is the capacity. Then new users come at
random moments (open loop: nobody waits for somebody else's answer), at once, twice and four times that rate.

    goodput     answers a second whose first token came within `--patience` seconds, of those who came in the window;
                against the best of all phases with no more load (with more, answers are shorter and more of them fit,
                so that the best of all would be the heaviest, and prove nothing)
    refused_s   the time that a refusal took
    recovery    after the last arrival, until a newcomer's first token comes about as soon as on an idle server, over
                the time that those who were still inside take at capacity. The newcomers who find out are a load
                themselves, a tenth of capacity at most: as many as can be served would keep the queue as it is.

Run: python benchmarks/overload.py [--json] [--profile cpu] [--seconds 60]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from dataclasses import dataclass

import aiohttp
from crowd import Answer, Server, User, arguments, own_cpu_s, percentile, report, serving
from fairness import story

MIN_GOODPUT, MAX_REFUSAL_S, MAX_RECOVERY = 0.9, 0.1, 2.0
WARM_UP = 0.3
IDLE_PROBES = 5
PROBE_S = 0.5
PROBE_LOAD = 0.1
AS_IDLE = 2.0
DEADLINE_S = 60
QUOTA = {"running": 4, "queued": 8, "per_minute": 10_000, "per_day": 1_000_000}


@dataclass(frozen=True, slots=True)
class Phase:
    """A time of load: from `start` on its answers are counted, at `end` the last user came."""

    start: float
    end: float
    answers: list[Answer]

    def goodput(self, patience_s: float) -> float:
        good = [a for a in self.answers if a.status == "done" and a.first_token_s <= patience_s]
        return sum(self.start <= a.ended_at <= self.end for a in good) / (self.end - self.start)

    def inside(self) -> int:
        """Who was still waiting or being answered at the end."""
        return sum(a.status != "refused" and a.ended_at > self.end for a in self.answers)


async def capacity(session: aiohttp.ClientSession, users: int, seconds: float) -> Phase:
    """`users` who each ask again as soon as they are answered."""
    began = time.monotonic()
    answers: list[Answer] = []

    async def one(number: int) -> None:
        user, dice = User(session), random.Random(number)
        while time.monotonic() < began + seconds:
            answers.append(await user.ask(**story(dice)))  # type: ignore[arg-type]

    await asyncio.gather(*map(one, range(users)))
    return Phase(began + WARM_UP * seconds, began + seconds, answers)


async def open_loop(
    session: aiohttp.ClientSession, rate: float, seconds: float
) -> tuple[Phase, list[asyncio.Task[Answer]]]:
    """New users at `rate` a second, each with one question; returns at the last arrival, with those still inside."""
    dice = random.Random(rate)
    began = time.monotonic()
    tasks: list[asyncio.Task[Answer]] = []
    at = began
    while (at := at + dice.expovariate(rate)) < began + seconds:
        await asyncio.sleep(at - time.monotonic())
        tasks.append(asyncio.create_task(User(session).ask(**story(dice))))  # type: ignore[arg-type]
    await asyncio.sleep(began + seconds - time.monotonic())
    return Phase(began + WARM_UP * seconds, began + seconds, []), tasks


async def first_token(session: aiohttp.ClientSession, dice: random.Random) -> float:
    """How long a newcomer waits for the first token; for ever when refused."""
    answer = await User(session).ask(**story(dice))  # type: ignore[arg-type]
    return answer.first_token_s if answer.status == "done" else float("inf")


async def recovery(session: aiohttp.ClientSession, idle_s: float, rate: float) -> float:
    """Seconds until a newcomer is served about as soon as on an idle server, where `rate` a second can be."""
    every_s = max(PROBE_S, 1 / (PROBE_LOAD * rate))
    began = time.monotonic()
    dice = random.Random(0)
    probes: list[tuple[float, asyncio.Task[float]]] = []
    while True:
        probes.append((time.monotonic(), asyncio.create_task(first_token(session, dice))))
        await asyncio.sleep(every_s)
        for at, probe in probes:
            if probe.done() and probe.result() <= AS_IDLE * idle_s + PROBE_S:
                await asyncio.gather(*(probe for _, probe in probes))
                return at - began


def summary(name: str, phase: Phase, patience_s: float) -> dict[str, object]:
    done = [a for a in phase.answers if a.status == "done"]
    refused = [a.total_s for a in phase.answers if a.status == "refused"]
    return {
        "load": name,
        "asked": len(phase.answers),
        "done": len(done),
        "refused": len(refused),
        "late": sum(a.status == "failed" and a.error == "deadline_exceeded" for a in phase.answers),
        "errors": sorted({f"{a.status} {a.error}" for a in phase.answers if a.status not in ("done", "refused")}),
        "goodput": round(phase.goodput(patience_s), 3),
        "tokens_per_answer": round(sum(a.tokens for a in done) / max(1, len(done)), 1),
        "eased": round(sum("load" in a.degraded for a in done) / max(1, len(done)), 3),
        "first_token_p50_s": round(percentile((a.first_token_s for a in done), 0.5), 2),
        "first_token_p95_s": round(percentile((a.first_token_s for a in done), 0.95), 2),
        "refused_p50_s": round(percentile(refused, 0.5), 3),
        "refused_p95_s": round(percentile(refused, 0.95), 3),
        "refused_max_s": round(max(refused, default=0.0), 3),
    }


async def run(server: Server, session: aiohttp.ClientSession, options: argparse.Namespace, slots: int) -> list[dict]:  # type: ignore[type-arg]
    dice = random.Random(1)
    idle_s = percentile([await first_token(session, dice) for _ in range(IDLE_PROBES)], 0.5)
    await capacity(session, slots, 10)
    closed = await capacity(session, slots, options.seconds)
    rate = closed.goodput(options.patience)
    results = [summary("capacity", closed, options.patience) | {"idle_first_token_s": round(idle_s, 3)}]
    print(results[-1], file=sys.stderr, flush=True)
    for times in options.times:
        served, own = server.cpu_s(), own_cpu_s()
        phase, tasks = await open_loop(session, times * rate, options.seconds)
        cpu = {"server": server.cpu_s() - served, "client": own_cpu_s() - own}
        recovered = await recovery(session, idle_s, rate)
        phase = Phase(phase.start, phase.end, list(await asyncio.gather(*tasks)))
        drain_s = phase.inside() / rate
        line = summary(f"{times:g}x", phase, options.patience) | {
            "drain_s": round(drain_s, 2),
            "recovered_s": round(recovered, 2),
            "recovery": round(recovered / max(drain_s, PROBE_S), 2),
            **{f"{name}_cpu": round(seconds / options.seconds, 2) for name, seconds in cpu.items()},
        }
        results.append(line)
        print(line, file=sys.stderr, flush=True)
    return results


async def main(options: argparse.Namespace) -> int:
    admission = {"max_running": options.running, "max_queued": options.queued}
    settings = {
        "admission": {name: value for name, value in admission.items() if value},
        "quotas": dict.fromkeys(("local", "guest"), QUOTA),
        "generation": {"deadline_s": DEADLINE_S},
    }
    async with serving(options, settings) as server, server.crowd() as session:
        lines = await run(server, session, options, options.users or options.running)
    over = [line for line in lines[1:] if line["load"] != "1x"]
    for count, line in enumerate(lines, 1):
        line["of_peak"] = round(line["goodput"] / max(line["goodput"] for line in lines[:count]), 3)
    targets = {
        "goodput": all(line["of_peak"] >= MIN_GOODPUT for line in over),
        "refusals": all(line["refused_p95_s"] <= MAX_REFUSAL_S for line in over),
        "recovery": all(line["recovery"] <= MAX_RECOVERY for line in over),
        "no_errors": not any(set(line["errors"]) - {"failed deadline_exceeded"} for line in lines),
    }
    return report("overload", targets, lines, options)


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of each phase")
    parser.add_argument("--times", type=float, nargs="+", default=[1, 2, 4], help="of capacity")
    parser.add_argument("--running", type=int, default=16, help="answers at once")
    parser.add_argument("--queued", type=int, help="questions that may wait (default: as the profile says)")
    parser.add_argument("--users", type=int, help="who ask while the capacity is measured (default: as --running)")
    parser.add_argument("--patience", type=float, default=30, help="seconds after which a first token is of no use")
    sys.exit(asyncio.run(main(parser.parse_args())))
