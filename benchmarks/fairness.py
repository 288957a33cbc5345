"""One greedy user with many tabs among light ones: does everybody get a fair share, and do the light ones notice?

Three situations on each server. The light users alone: each has one tab, and reads what it got before it asks again.
The same with the greedy one, who asks for long stories in all of its tabs. And all of them asking for stories without a
pause, the light ones in eight tabs each, so that the engine is full and everybody always has something waiting.

    jain            of what each got when all wanted more, in uncached prompt tokens and twice the written ones (F12)
    light_slower    first token of the light users, 95th percentile: with the greedy one / without

The same again with `admission.order: fifo` and no limit for one user, which is what a plain queue does.

Run: python benchmarks/fairness.py [--json] [--profile cpu] [--seconds 60] [--tabs 20] [--light 7]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from crowd import ROOT, Answer, User, arguments, jain, percentile, report, serving
from load import SYLLABLES

sys.path.insert(0, str(ROOT))

from app.settings import Quota

OFTEN = {"queued": 1000, "per_minute": 10_000, "per_day": 1_000_000}
UNLIMITED = {**OFTEN, "running": 1000}
PAUSE_S = (1.0, 3.0)
EAGER_TABS = 8
MIN_JAIN, MAX_SLOWER = 0.95, 1.3
WARM_UP, WARMING_S = 0.15, 15
QUESTIONS = [
    line["question"]
    for line in map(json.loads, (ROOT / "assets/demo/questions.jsonl").read_text(encoding="utf-8").splitlines())
    if line["metadata"].get("lang", "en") == "en"
]

Crowd = Mapping[str, list[Answer]]


Question = Callable[[random.Random], dict[str, object]]


def story(dice: random.Random) -> dict[str, object]:
    """A question with a long answer."""
    name = "".join(dice.choices(SYLLABLES, k=3)).capitalize()
    return {"question": f"Tell me a short story of the traveller {name} who came to a new town.", "pipeline": "direct"}


def lookup(dice: random.Random) -> dict[str, object]:
    """A question that is looked up, as most are."""
    name = "".join(dice.choices(SYLLABLES, k=3)).capitalize()
    return {"question": f"{dice.choice(QUESTIONS)} {name} wants to know.", "pipeline": "naive"}


@dataclass(frozen=True, slots=True)
class Habit:
    """How a user asks: in so many tabs, with a pause between answer and question."""

    tabs: int
    ask: Question
    pause_s: tuple[float, float] = (0.0, 0.0)


async def tab(user: User, until: float, dice: random.Random, habit: Habit) -> list[Answer]:
    """Ask, read, pause, and ask again until the time is over; one that is refused pauses too."""
    answers: list[Answer] = []
    while time.monotonic() < until:
        answers.append(await user.ask(**habit.ask(dice)))  # type: ignore[arg-type]
        refused = answers[-1].status == "refused"
        await asyncio.sleep(max(dice.uniform(*habit.pause_s), float(refused)))
    return answers


async def crowd(users: Mapping[str, User], habits: Mapping[str, Habit], seconds: float) -> Crowd:
    """What each user with a habit was answered."""
    until = time.monotonic() + seconds

    async def all_tabs(name: str, habit: Habit) -> list[Answer]:
        dice = [random.Random(f"{name} {n}") for n in range(habit.tabs)]
        return [
            a for several in await asyncio.gather(*(tab(users[name], until, d, habit) for d in dice)) for a in several
        ]

    answers = await asyncio.gather(*(all_tabs(name, habit) for name, habit in habits.items()))
    return dict(zip(habits, answers, strict=True))


def rates(crowd: Crowd, seconds: float) -> dict[str, float]:
    """What the engine did for each user in the middle of the time, a second. An answer counts by its part in there."""
    begins = [answer.asked_at for answers in crowd.values() for answer in answers]
    start, end = min(begins) + WARM_UP * seconds, min(begins) + seconds

    def share(answer: Answer) -> float:
        ran_from = answer.asked_at + answer.waited_s
        inside = min(answer.ended_at, end) - max(ran_from, start)
        return answer.cost() * max(0.0, inside) / max(1e-6, answer.ended_at - ran_from)

    return {name: sum(map(share, answers)) / (end - start) for name, answers in crowd.items()}


def first_tokens(crowd: Crowd, names: Sequence[str]) -> list[float]:
    return [a.first_token_s for name in names for a in crowd[name] if a.status == "done"]


async def measure(options: argparse.Namespace, order: str, quota: Mapping[str, int]) -> dict[str, object]:
    quotas = {"local": Quota().model_dump() | dict(quota)}
    admission = {"order": order, "max_queued": 1000} | ({"max_running": options.running} if options.running else {})
    async with (
        serving(options, {"admission": admission, "quotas": quotas}) as server,
        server.crowd() as session,
    ):
        names = [f"light {n}" for n in range(options.light)]
        users = {name: User(session) for name in (*names, "greedy")}
        for user in users.values():
            await user.open()
        light = dict.fromkeys(names, Habit(1, lookup, PAUSE_S))
        greedy = {"greedy": Habit(options.tabs, story)}
        await crowd(users, light, WARMING_S)
        alone = await crowd(users, light, options.seconds)
        among = await crowd(users, light | greedy, options.seconds)
        full = await crowd(users, dict.fromkeys(names, Habit(EAGER_TABS, story)) | greedy, options.seconds)
    without, beside = first_tokens(alone, names), first_tokens(among, names)
    everybody = [a for each in (alone, among, full) for answers in each.values() for a in answers]
    got = rates(full, options.seconds)
    return {
        "jain": round(jain(list(got.values())), 3),
        "greedy_part": round(got["greedy"] / sum(got.values()), 3),
        "light_slower": round(percentile(beside, 0.95) / percentile(without, 0.95), 2),
        "light_first_token_p50_s": [round(percentile(each, 0.5), 3) for each in (without, beside)],
        "light_first_token_p95_s": [round(percentile(each, 0.95), 3) for each in (without, beside)],
        "light_waited_p95_s": round(percentile((a.waited_s for name in names for a in among[name]), 0.95), 3),
        "light_answers": [len(without), len(beside)],
        "errors": sum(a.status not in ("done", "refused") for a in everybody),
        "refused": sum(a.status == "refused" for a in everybody),
    }


async def main(options: argparse.Namespace) -> int:
    fair = await measure(options, "fair", OFTEN | ({"running": options.own} if options.own else {}))
    print({"fair": fair}, file=sys.stderr, flush=True)
    fifo = await measure(options, "fifo", UNLIMITED)
    targets = {
        "jain": fair["jain"] >= MIN_JAIN,  # type: ignore[operator]
        "light_first_token": fair["light_slower"] <= MAX_SLOWER,  # type: ignore[operator]
        "no_errors": not fair["errors"],
    }
    return report("fairness", targets, {"fair": fair, "fifo": fifo}, options)


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of each situation")
    parser.add_argument("--tabs", type=int, default=20, help="of the greedy user")
    parser.add_argument("--light", type=int, default=7, help="how many light users")
    parser.add_argument(
        "--own", type=int, help="answers at once of one user (default: what people with an account get)"
    )
    parser.add_argument("--running", type=int, help="answers at once (default: as the profile says)")
    sys.exit(asyncio.run(main(parser.parse_args())))
