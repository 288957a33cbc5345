"""What the program adds to the engine: the HTTP door against the same prompts given straight to `AsyncLLM`.

One engine, one run. First the questions are asked through the door once, and the prompts that reach the engine are
kept. Then door and raw alternate, each with a reset prefix cache, at each number of streams. The client runs in a
process of its own, but on the same cores: what it costs counts as the door's. Greedy, so both sides generate the same
tokens. Reported are medians over the blocks of

    tokens_per_s   door / raw, each as fast as it goes at so many streams
    added_ms       first token at the door - retrieval - first token raw, per question; and of it
    burst_ms       that of the first questions, which are asked in one instant
    steady_ms      that of the others, each asked when an answer has ended
    own_ms         of the door's first token - retrieval, what passed outside of the engine: before a prompt was handed
                   to it, and after its first text was there. The rest of added_ms is the engine's: it met other steps,
                   and on two cores it shares them with server and client.

An engine works in steps of tenths of a second, and when a first token comes depends on which step its prompt meets
and who else is in it. So for the first tokens each door run is followed by a raw one in which every prompt arrives at
the instant at which the question was asked, plus its retrieval: when it would have come through a door that costs
nothing. (All prompts at once, and then each when an earlier one ends, met other steps; the difference was noise of
-65 to +94 ms.)

Run: python benchmarks/chat.py [--json] [--streams 1 4 8 16] [--blocks 4] [--profile cpu] [--data DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app.backend.types import Delta, Message, Sampling  # noqa: E402

EACH = 4
"""So many questions a stream asks, one after the other."""
LEAST_RATIO = 0.9
MOST_ADDED_MS = 15.0


class Door:
    """The server in this process, with an engine that keeps the prompts it is given."""

    def __init__(self, profile: str, data: Path) -> None:
        import uvicorn

        from app.backend.engines.vllm import VllmEngine
        from app.backend.pipelines.registry import create_registry
        from app.backend.retrieval import create_retriever
        from app.backend.service import Backend
        from app.backend.storage.database import Database
        from app.backend.telemetry import configure_logging
        from app.configuration import load
        from app.server import create_app

        settings = load({"data": str(data)}, profile=profile)
        self.prompts: list[list[int]] = []
        self.keep = True
        self.engine_s: dict[str, float] = {}
        door = self

        class Keeping(VllmEngine):
            async def stream(  # type: ignore[override]
                self, messages: Sequence[Message], sampling: Sampling, *, request_id: str, cache_salt: str | None = None
            ) -> AsyncGenerator[Delta, None]:
                if door.keep:
                    core = self._supervisor.current()
                    door.prompts.append(core.render(messages))
                    door.sampling = sampling
                began, generation = time.perf_counter(), request_id.partition("-")[0]
                async with aclosing(
                    super().stream(messages, sampling, request_id=request_id, cache_salt=cache_salt)
                ) as deltas:
                    async for delta in deltas:
                        if delta.text:
                            door.engine_s.setdefault(generation, time.perf_counter() - began)
                        yield delta

        configure_logging(quiet=True)
        self.engine = Keeping(settings.engine, settings.data / "models")
        backend = Backend(
            settings, Database(data / "bench.db"), self.engine, create_retriever(settings), create_registry(settings)
        )
        app = create_app(settings, backend=backend, mount=lambda app: None)
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))

    def vllm(self) -> AsyncLLM:
        return self.engine._supervisor.current().engine

    async def start(self) -> str:
        import httpx

        self.task = asyncio.create_task(self.server.serve())
        while not self.server.started:
            await asyncio.sleep(0.05)
        url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url) as client:
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.5)
        return url

    async def stop(self) -> None:
        self.server.should_exit = True
        await self.task


async def raw(door: Door, prompts: Sequence[list[int]], streams: int, at_s: Sequence[float] = ()) -> dict[str, object]:
    """The same prompts through `AsyncLLM.generate`, with the sampling that the door used; each `at_s`, if given."""
    from vllm import SamplingParams
    from vllm.inputs import tokens_input
    from vllm.sampling_params import RequestOutputKind

    drawn = door.sampling
    params = SamplingParams(
        max_tokens=drawn.max_tokens,
        temperature=drawn.temperature,
        top_p=drawn.top_p,
        stop=list(drawn.stop),
        frequency_penalty=drawn.frequency_penalty,
        output_kind=RequestOutputKind.DELTA,
    )
    loop = asyncio.get_running_loop()
    slots = asyncio.Semaphore(streams)
    started = loop.time()

    async def one(n: int, prompt: list[int]) -> dict[str, float]:
        async with slots:
            if at_s:
                await asyncio.sleep(started + at_s[n] - loop.time())
            began, first, tokens = time.perf_counter(), 0.0, 0
            async with aclosing(door.vllm().generate(tokens_input(prompt), params, f"raw-{n}-{began}")) as outputs:
                async for output in outputs:
                    first = first or (time.perf_counter() - began if output.outputs[0].text else 0.0)
                    tokens += len(output.outputs[0].token_ids)
            return {"first_token_s": first, "tokens": tokens}

    answers = await asyncio.gather(*(one(n, prompt) for n, prompt in enumerate(prompts)))
    return {"wall_s": loop.time() - started, "answers": answers}


def server_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The kind of event loop that the server runs on; raw runs on it too."""
    import uvicorn

    return uvicorn.Config(Door).get_loop_factory()


def rate(result: dict) -> float:  # type: ignore[type-arg]
    return sum(a["tokens"] for a in result["answers"]) / result["wall_s"]


def middle(blocks: Iterable[Sequence[float]]) -> float:
    return round(statistics.median(ms for block in blocks for ms in block), 1)


async def main(options: argparse.Namespace) -> list:  # type: ignore[type-arg]
    lines = (ROOT / "assets/demo/questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [q["question"] for q in map(json.loads, lines) if q["metadata"].get("lang", "en") == "en"]
    door = Door(options.profile, options.data or Path(tempfile.mkdtemp()))
    client = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "benchmarks/chat_client.py"), stdin=-1, stdout=-1, limit=2**24
    )

    async def through_door(url: str, streams: int, asked: list[str]) -> dict:  # type: ignore[type-arg]
        client.stdin.write(json.dumps({"url": url, "streams": streams, "questions": asked}).encode() + b"\n")  # type: ignore[union-attr]
        return json.loads(await client.stdout.readline())  # type: ignore[union-attr]

    async def reset() -> None:
        await door.vllm().reset_prefix_cache()

    results = []
    try:
        url = await door.start()
        for streams in options.streams:
            asked = questions[: max(8, EACH * streams)]
            door.prompts, door.keep = [], True
            await through_door(url, 1, asked)
            prompts, door.keep = list(door.prompts), False
            ratios: list[float] = []
            added: list[list[float]] = []
            own: list[list[float]] = []
            for block in range(options.blocks):
                runs = {}
                for side in ("door", "raw") if block % 2 == 0 else ("raw", "door"):
                    await reset()
                    runs[side] = await (
                        through_door(url, streams, asked) if side == "door" else raw(door, prompts, streams)
                    )
                ratios.append(rate(runs["door"]) / rate(runs["raw"]))
                await reset()
                answers = runs["door"]["answers"]
                own.append([(a["first_token_s"] - a["retrieve_s"] - door.engine_s[a["id"]]) * 1000 for a in answers])
                replayed = await raw(door, prompts, len(asked), [a["asked_at_s"] + a["retrieve_s"] for a in answers])
                added.append(
                    [
                        (x["first_token_s"] - x["retrieve_s"] - y["first_token_s"]) * 1000
                        for x, y in zip(answers, replayed["answers"], strict=True)
                    ]
                )
            results.append(
                {
                    "streams": streams,
                    "questions": len(asked),
                    "tokens_per_s_ratio": round(statistics.median(ratios), 3),
                    "ratios": [round(r, 3) for r in ratios],
                    "added_ms": middle(added),
                    "burst_ms": middle(block[:streams] for block in added),
                    "steady_ms": middle(block[streams:] for block in added),
                    "own_ms": middle(own),
                    "own_steady_ms": middle(block[streams:] for block in own),
                    "raw_tokens_per_s": round(rate(runs["raw"]), 1),
                }
            )
            print(results[-1], file=sys.stderr, flush=True)
    finally:
        client.terminate()
        await door.stop()
    return results


def targets(results: list) -> dict[str, bool]:  # type: ignore[type-arg]
    return {
        "tokens_per_s": all(level["tokens_per_s_ratio"] >= LEAST_RATIO for level in results),
        "first_token_added": all(level["added_ms"] <= MOST_ADDED_MS for level in results),
        "first_token_own": all(level["own_ms"] <= MOST_ADDED_MS for level in results),
    }


if __name__ == "__main__":
    from crowd import report  # here, because the engine's processes import this file too

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=server_loop()) as runner:
        found = runner.run(main(arguments))
    sys.exit(report("chat", targets(found), found, arguments))
