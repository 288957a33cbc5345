"""Is the time that people are shown the time they wait? Under a steady load, the first one shown against the wait.

More users than slots ask one question after the other, with pauses, prompts and answers of all lengths. Counted are
those who had to wait at least a second, after a warm-up in which the rates are learned.

    error       median over them of |first time shown - wait| / wait; --target is what it may be
    within      share of them for whom it was less than a quarter off

Without --profile the engine is a double that keeps the times of a small model on two cores: prompts one after the
other, and a step of all answers at once that takes longer the more there are. With it, it is that profile's engine.

Run: python benchmarks/eta.py [--json] [--users 48] [--slots 16] [--seconds 120] [--profile cpu]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app.backend.engines import create_engine  # noqa: E402
from app.backend.engines.scripted import ScriptedEngine  # noqa: E402
from app.backend.errors import ColloquyError  # noqa: E402
from app.backend.events import Degraded, Done, Started  # noqa: E402
from app.backend.pipelines.registry import create_registry  # noqa: E402
from app.backend.retrieval import create_retriever  # noqa: E402
from app.backend.service import Backend, Question  # noqa: E402
from app.backend.storage.database import Database  # noqa: E402
from app.backend.telemetry import configure_logging  # noqa: E402
from app.backend.types import Delta, Message, Sampling, Usage  # noqa: E402
from app.configuration import load  # noqa: E402

PREFILL_S = 1 / 500
STEP_S, STEP_PER_ANSWER_S = 0.033, 0.0033
WORDS = [
    "the",
    "old",
    "town",
    "by",
    "the",
    "sea",
    "had",
    "one",
    "tower",
    "and",
    "nobody",
    "knew",
    "who",
    "had",
    "built",
    "it",
    "or",
    "when",
]
WAITED_S = 1.0


class Paced(ScriptedEngine):
    """Prefills one prompt after the other; all answers share each step. Lengths are drawn, up to the limit."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed
        self._prefill = asyncio.Lock()
        self._dice = random.Random(5)

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling, *, request_id: str, cache_salt: str | None = None
    ) -> AsyncGenerator[Delta, None]:
        prompt = await self.count_tokens(messages)
        length = min(sampling.max_tokens, 10 + int(self._dice.expovariate(1 / 120)))
        async with self._prefill:
            await asyncio.sleep(prompt * PREFILL_S / self._speed)
        self.open += 1
        try:
            for written in range(1, length + 1):
                await asyncio.sleep((STEP_S + STEP_PER_ANSWER_S * self.open) / self._speed)
                yield Delta(f"{self._dice.choice(WORDS)} ", usage=Usage(prompt, 0, written, 1))
            yield Delta("", "stop", Usage(prompt, 0, length, 1))
        finally:
            self.open -= 1


@dataclass(frozen=True, slots=True)
class Wait:
    """What was shown first, and what it came to."""

    at_s: float
    shown_s: float
    waited_s: float
    eased: bool

    @property
    def error(self) -> float:
        return abs(self.shown_s - self.waited_s) / self.waited_s


async def user(backend: Backend, name: str, until: float, pause_s: float, waits: list[Wait]) -> int:
    """Ask, read to the end, pause, again; how many questions did not end well."""
    dice, failed = random.Random(name), 0
    while time.monotonic() < until:
        conversation = (await backend.create_conversation(name)).id
        text = f"{name}: tell me a story of " + " ".join(dice.choices(WORDS, k=dice.randrange(5, 200)))
        asked = time.monotonic()
        try:
            ticket = await backend.ask(name, conversation, Question(text, "direct"))
        except ColloquyError as refused:
            failed += 1
            await asyncio.sleep(min(5.0, refused.retry_after_s or 1))
            continue
        started, eased, end = asked, False, None
        async for recorded in backend.events(name, ticket.generation_id):
            if isinstance(recorded.event, Started):
                started = time.monotonic()
            eased = eased or (isinstance(recorded.event, Degraded) and recorded.event.part == "load")
            end = recorded.event
        waits.append(Wait(asked, ticket.eta_s, started - asked, eased))
        failed += not isinstance(end, Done)
        await asyncio.sleep(dice.uniform(0, 2 * pause_s))
    return failed


async def main(options: argparse.Namespace) -> dict[str, object]:
    flags = {
        "data": tempfile.mkdtemp(),
        "admission": {
            "order": options.order,
            "max_running": options.slots,
            "max_queued": 1_000,
            "max_wait_s": options.max_wait,
        },
        "quotas": {"local": {"running": 100, "queued": 100, "per_minute": 10_000, "per_day": 1_000_000}},
    }
    configure_logging(quiet=True)
    settings = load(flags, profile=options.profile or "scripted")
    engine = create_engine(settings) if options.profile else Paced(options.speed)
    database = Database(settings.data / "colloquy.db")
    backend = Backend(settings, database, engine, create_retriever(settings), create_registry(settings))
    await backend.open()
    await backend.start()
    try:
        while backend.engine_health().state != "ready":
            await asyncio.sleep(0.5)
        began, waits = time.monotonic(), list[Wait]()
        until = began + options.seconds
        users = (user(backend, f"user-{n}", until, options.pause, waits) for n in range(options.users))
        failed = sum(await asyncio.gather(*users))
    finally:
        await backend.aclose()
    steady = [w for w in waits if w.at_s >= began + options.seconds / 4]
    had_to = [w for w in steady if w.waited_s >= WAITED_S]
    errors = sorted(w.error for w in had_to)
    return {
        "benchmark": "eta",
        "engine": options.profile or f"paced x{options.speed:g}",
        "users": options.users,
        "slots": options.slots,
        "answers": len(steady),
        "waited": len(had_to),
        "failed": failed,
        "eased": round(statistics.fmean(w.eased for w in steady), 2),
        "wait_p50_s": round(statistics.median(w.waited_s for w in had_to), 2),
        "error": round(statistics.median(errors), 3),
        "error_p90": round(errors[len(errors) * 9 // 10], 3),
        "bias": round(statistics.median((w.shown_s - w.waited_s) / w.waited_s for w in had_to), 3),
        "within": round(statistics.fmean(e <= 0.25 for e in errors), 2),
        "target": options.target,
        "ok": statistics.median(errors) <= options.target,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--users", type=int, default=48)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--order", choices=("fair", "fifo"), default="fair")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between questions, on average")
    parser.add_argument("--speed", type=float, default=4.0, help="of the double, in multiples of a small machine")
    parser.add_argument("--max-wait", type=float, default=1_000.0, help="admission.max_wait_s; large: no brown-out")
    parser.add_argument("--profile", help="an engine of its own instead of the double")
    parser.add_argument("--target", type=float, default=0.25)
    arguments = parser.parse_args()
    result = asyncio.run(main(arguments))
    print(json.dumps(result, indent=None if arguments.json else 2))
    sys.exit(0 if result["ok"] else 1)
