"""One greedy user with many tabs among light ones: does everybody get a fair share, and do the light ones notice?

Three situations on each server: the light users alone; with the greedy one; and with all of them greedy (a few tabs
each, no pauses). What a user gets is counted as in F12, in uncached prompt tokens and twice the written ones, a second.

    jain            of what each user got over what it is entitled to while the greedy one is there. Entitled is
                    everybody to the same, but a light user to no more than it took when alone (max-min fair shares)
    jain_all        of what each got when all were greedy: entitled to the same
    first_token     95th percentile of the light users, with the greedy one / without

The same again with `admission.order: fifo` and no limit for one user, which is what a plain queue does.

Run: python benchmarks/fairness.py [--json] [--profile cpu] [--seconds 60] [--tabs 20] [--light 7]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Mapping, Sequence

from crowd import ROOT, Answer, User, arguments, jain, percentile, report, serving
from load import SYLLABLES

sys.path.insert(0, str(ROOT))

from app.settings import Quota

OFTEN = {"queued": 1000, "per_minute": 10_000, "per_day": 1_000_000}
UNLIMITED = {**OFTEN, "running": 1000}
PAUSE_S = (1.0, 3.0)
GREEDY_TABS = 4
MIN_JAIN, MAX_SLOWER = 0.95, 1.3
WARM_UP = 0.15

Crowd = Mapping[str, list[Answer]]


def question(dice: random.Random) -> str:
    name = "".join(dice.choices(SYLLABLES, k=3)).capitalize()
    return f"Tell me a short story of the traveller {name} who came to a new town."


async def tab(user: User, until: float, dice: random.Random, pause_s: tuple[float, float]) -> list[Answer]:
    """Ask, read, pause, and ask again until the time is over; one that is refused pauses too."""
    answers: list[Answer] = []
    while time.monotonic() < until:
        answers.append(await user.ask(question(dice), pipeline="direct"))
        refused = answers[-1].status == "refused"
        await asyncio.sleep(max(dice.uniform(*pause_s), float(refused)))
    return answers


async def crowd(users: Mapping[str, tuple[User, int]], seconds: float, pauses: bool) -> Crowd:
    """What each user, with so many tabs, was answered; those with one tab pause between questions."""
    until = time.monotonic() + seconds

    async def all_tabs(name: str, user: User, tabs: int) -> list[Answer]:
        pause_s = PAUSE_S if pauses and tabs == 1 else (0.0, 0.0)
        dice = [random.Random(f"{name} {n}") for n in range(tabs)]
        return [a for several in await asyncio.gather(*(tab(user, until, d, pause_s) for d in dice)) for a in several]

    answers = await asyncio.gather(*(all_tabs(name, user, tabs) for name, (user, tabs) in users.items()))
    return dict(zip(users, answers, strict=True))


def rates(crowd: Crowd, seconds: float) -> dict[str, float]:
    """What the engine did for each user in the middle of the time, a second. An answer counts by its part in there."""
    begins = [answer.asked_at for answers in crowd.values() for answer in answers]
    start, end = min(begins) + WARM_UP * seconds, min(begins) + seconds

    def share(answer: Answer) -> float:
        ran_from = answer.asked_at + answer.waited_s
        inside = min(answer.ended_at, end) - max(ran_from, start)
        return answer.cost() * max(0.0, inside) / max(1e-6, answer.ended_at - ran_from)

    return {name: sum(map(share, answers)) / (end - start) for name, answers in crowd.items()}


def entitled(wanted: Mapping[str, float], total: float) -> dict[str, float]:
    """Max-min fair shares of `total`: those who want little get that, the others the same each."""
    shares: dict[str, float] = {}
    for left, name in zip(range(len(wanted), 0, -1), sorted(wanted, key=wanted.__getitem__), strict=True):
        shares[name] = min(wanted[name], (total - sum(shares.values())) / left)
    return shares


def first_tokens(crowd: Crowd, names: Sequence[str]) -> list[float]:
    return [a.first_token_s for name in names for a in crowd[name] if a.status == "done"]


async def measure(options: argparse.Namespace, order: str, quota: Mapping[str, int]) -> dict[str, object]:
    quotas = {"local": Quota().model_dump() | dict(quota)}
    admission = {"order": order, "max_queued": 1000} | ({"max_running": options.running} if options.running else {})
    async with (
        serving(options, {"admission": admission, "quotas": quotas}) as server,
        server.crowd() as session,
    ):
        light = {f"light {n}": (User(session), 1) for n in range(options.light)}
        greedy = {"greedy": (User(session), options.tabs)}
        for user, _ in (*light.values(), *greedy.values()):
            await user.open()
        await crowd(light, 10, True)
        alone = await crowd(light, options.seconds, True)
        among = await crowd(light | greedy, options.seconds, True)
        equal = {name: (user, max(tabs, GREEDY_TABS)) for name, (user, tabs) in (light | greedy).items()}
        contended = await crowd(equal, options.seconds, False)
    wanted, got = rates(alone, options.seconds), rates(among, options.seconds)
    shares = entitled(wanted | {"greedy": float("inf")}, sum(got.values()))
    without, beside = (percentile(first_tokens(c, list(light)), 0.95) for c in (alone, among))
    answered = {name: len(first_tokens(c, list(light))) for name, c in (("without", alone), ("with", among))}
    everybody = [a for each in (alone, among, contended) for answers in each.values() for a in answers]
    return {
        "jain": round(jain([got[name] / shares[name] for name in shares]), 3),
        "jain_all": round(jain(list(rates(contended, options.seconds).values())), 3),
        "light_first_token_p95_s": {"without": round(without, 3), "with": round(beside, 3)},
        "light_waited_p95_s": round(percentile((a.waited_s for name in light for a in among[name]), 0.95), 3),
        "light_slower": round(beside / without, 2),
        "light_answers": answered,
        "greedy_part": round(got["greedy"] / sum(got.values()), 3),
        "errors": sum(a.status not in ("done", "refused") for a in everybody),
        "refused": sum(a.status == "refused" for a in everybody),
    }


async def main(options: argparse.Namespace) -> int:
    fair = await measure(options, "fair", OFTEN | ({"running": options.own} if options.own else {}))
    print({"fair": fair}, file=sys.stderr, flush=True)
    fifo = await measure(options, "fifo", UNLIMITED)
    targets = {
        "jain": min(fair["jain"], fair["jain_all"]) >= MIN_JAIN,  # type: ignore[type-var]
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
