"""Every pipeline on the same questions with the same small model: how good, how many calls, tokens and seconds.

    python benchmarks/methods.py [--questions 100] [--only naive,ircot] [--rows FILE] [--table docs/methods-measured.md]
    python benchmarks/methods.py --together [--questions 32]

The first makes a table: em, f1 and acc of the answer, retrieval_recall of everything that was found (of any length: a
method that searches more finds more), and per question engine calls, tokens (read, of these from the cache, written)
and seconds while all questions run at once. The second measures the same questions one by one against all at once, on
one engine in one run and with nothing in the cache that the other way left there:

    speed_up        time of the questions one by one / all at once
    engine_bound    time of the questions one by one / of all their engine calls given to the engine at once, without
                    searches and without one waiting for another: more is not in this engine

The table takes more than an hour on two cores. With `--rows` each line is kept as soon as it is measured, and the
same command goes on from there. `--table` puts it in the place of the one that stands in FILE and leaves the words.
A method that refuses this engine is named below it.

Needs XQuAD in FlashRAG's formats in `--xquad`, and the engine of `--profile`. Greedy, answers of at most 64 tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app.backend.errors import BadInput, Unavailable  # noqa: E402
from app.backend.events import Degraded, Done, Retrieved  # noqa: E402
from app.backend.experiments.items import Item  # noqa: E402
from app.backend.experiments.metrics import Options, score  # noqa: E402
from app.backend.metering import MeteredEngine  # noqa: E402
from app.backend.pipelines.citations import without_markers  # noqa: E402
from app.backend.pipelines.registry import Registry, create_registry  # noqa: E402
from app.backend.protocols import Engine, Retriever, Tools  # noqa: E402
from app.backend.types import Delta, Passage, Prompt, Query, Sampling, Usage  # noqa: E402

CORPUS = "xquad"
MULTI_STEP = ("ircot", "iterretgen", "flare", "selfask", "sure")
TABLE = re.compile(r"^\| pipeline \|.*\n(?:\|.*\n)*(?:\n`[^`]*` refuses: .*\n)*", re.MULTILINE)
REFUSED = "refused: "
Call = tuple[Prompt, Sampling]


@dataclass(frozen=True, slots=True)
class Answered:
    """One question through one pipeline."""

    answer: str
    passages: tuple[Passage, ...]
    degraded: frozenset[str]
    usage: Usage
    seconds: float
    calls: tuple[Call, ...]
    failed: str = ""


class Recording(MeteredEngine):
    """Keeps what it was asked."""

    def __init__(self, engine: Engine, salt: str) -> None:
        super().__init__(engine, salt)
        self.calls: list[Call] = []

    async def stream(
        self, prompt: Prompt, sampling: Sampling, *, request_id: str, cache_salt: str | None = None
    ) -> AsyncGenerator[Delta, None]:
        self.calls.append((prompt, sampling))
        answer = super().stream(prompt, sampling, request_id=request_id, cache_salt=cache_salt)
        async with aclosing(answer) as deltas:
            async for delta in deltas:
                yield delta


@dataclass(frozen=True, slots=True)
class Bench:
    """The parts that all pipelines share."""

    registry: Registry
    engine: Engine
    retriever: Retriever
    max_tokens: int

    async def ask(self, pipeline: str, question: str, salt: str) -> Answered:
        metered = Recording(self.engine, salt)
        params = self.registry.validate(pipeline, {"max_tokens": self.max_tokens})
        query, tools = (
            Query(question, CORPUS, (), params),
            Tools(metered, self.retriever, f"{salt}-{time.monotonic_ns()}"),
        )
        found: tuple[Passage, ...] = ()
        degraded: set[str] = set()
        answer, failed, began = "", "", time.monotonic()
        try:
            async with aclosing(self.registry.run(pipeline, query, tools)) as events:
                async for event in events:
                    match event:
                        case Retrieved():
                            found = event.joined(found)
                        case Degraded(part):
                            degraded.add(part)
                        case Done(text):
                            answer = text
        except (BadInput, Unavailable) as refusal:
            failed = f"{REFUSED}{refusal}"
        except Exception as error:  # noqa: BLE001 (what it was is the result)
            failed = f"{type(error).__name__}: {error}"
        return Answered(
            answer, found, frozenset(degraded), metered.usage, time.monotonic() - began, tuple(metered.calls), failed
        )

    async def all_at_once(self, pipeline: str, questions: Sequence[str], salt: str) -> list[Answered]:
        return await asyncio.gather(*(self.ask(pipeline, question, salt) for question in questions))

    async def one_by_one(self, pipeline: str, questions: Sequence[str], salt: str) -> list[Answered]:
        return [await self.ask(pipeline, question, salt) for question in questions]

    async def straight(self, calls: Sequence[Call], salt: str) -> float:
        """The seconds in which the engine answers all of these, given at once."""

        async def one(number: int, prompt: Prompt, sampling: Sampling) -> None:
            answer = self.engine.stream(prompt, sampling, request_id=f"{salt}-{number}", cache_salt=salt)
            async with aclosing(answer) as deltas:
                async for _ in deltas:
                    pass

        began = time.monotonic()
        await asyncio.gather(*(one(number, *call) for number, call in enumerate(calls)))
        return time.monotonic() - began


async def measured(bench: Bench, pipeline: str, questions: Sequence[dict[str, object]]) -> dict[str, object]:
    began = time.monotonic()
    answers = await bench.all_at_once(pipeline, [str(q["question"]) for q in questions], f"table-{pipeline}")
    wall_s = time.monotonic() - began
    if all(a.failed.startswith(REFUSED) for a in answers):
        return {"pipeline": pipeline, "refused": answers[0].failed.removeprefix(REFUSED)}
    items = [
        Item(
            "", tuple(q["golden_answers"]), without_markers(a.answer), tuple(f"{p.title}\n{p.text}" for p in a.passages)
        )  # type: ignore[arg-type]
        for q, a in zip(questions, answers, strict=True)
    ]
    names = ["em", "f1", "acc", *(["retrieval_recall"] if any(item.retrieved for item in items) else [])]
    scores = {name: round(result.value, 3) for name, result in score(items, names, Options(topk=1000)).items()}
    return {
        "pipeline": pipeline,
        "retrieval_recall": None,
        **scores,
        "calls": round(statistics.fmean(a.usage.engine_calls for a in answers), 1),
        "read": round(statistics.fmean(a.usage.prompt_tokens for a in answers)),
        "cached": round(statistics.fmean(a.usage.cached_tokens for a in answers)),
        "written": round(statistics.fmean(a.usage.completion_tokens for a in answers)),
        "seconds": round(wall_s / len(answers), 2),
        "not_as_published": round(statistics.fmean("method" in a.degraded for a in answers), 2),
        "failed": sum(bool(a.failed) for a in answers),
        "why": sorted({a.failed for a in answers if a.failed}),
    }


async def together(bench: Bench, pipeline: str, questions: Sequence[str]) -> dict[str, object]:
    began = time.monotonic()
    alone = await bench.one_by_one(pipeline, questions, f"alone-{pipeline}")
    alone_s, began = time.monotonic() - began, time.monotonic()
    at_once = await bench.all_at_once(pipeline, questions, f"at-once-{pipeline}")
    at_once_s = time.monotonic() - began
    bound_s = await bench.straight([call for a in alone for call in a.calls], f"straight-{pipeline}")
    tokens = [sum(a.usage.completion_tokens for a in answers) for answers in (alone, at_once)]
    return {
        "pipeline": pipeline,
        "speed_up": round(alone_s / at_once_s, 2),
        "engine_bound": round(alone_s / bound_s, 2),
        "written": tokens,
        "failed": sum(bool(a.failed) for a in (*alone, *at_once)),
        "why": sorted({a.failed for a in (*alone, *at_once) if a.failed}),
    }


def markdown(rows: Sequence[dict[str, object]]) -> str:
    refused = [row for row in rows if "refused" in row]
    rows = [row for row in rows if "refused" not in row]
    columns = [key for key in rows[0] if key != "why"]
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join("" if row[c] is None else str(row[c]) for c in columns) for row in rows]
    table = "\n".join(f"| {line} |" for line in lines) + "\n"
    return table + "".join(f"\n`{row['pipeline']}` refuses: {row['refused']}\n" for row in refused)


def put(table: str, page: Path) -> None:
    """`table` in the place of the one on `page`; at its end where there is none."""
    text = page.read_text("utf-8") if page.exists() else ""
    there = TABLE.search(text)
    page.write_text(text[: there.start()] + table + text[there.end() :] if there else text + table, encoding="utf-8")


def read_rows(path: Path | None) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path and path.exists() else []


async def main(options: argparse.Namespace) -> int:
    from app.backend.engines import create_engine
    from app.backend.retrieval import create_retriever
    from app.backend.retrieval.ingest import ingest
    from app.configuration import load

    settings = load({"data": str(options.data or tempfile.mkdtemp())}, profile=options.profile)
    await asyncio.to_thread(ingest, settings, CORPUS, [options.xquad / "xquad-en-dev.corpus.jsonl"])
    lines = (options.xquad / "xquad-en-dev.questions.jsonl").read_text("utf-8").splitlines()
    count = options.questions or (32 if options.together else 100)
    questions = [json.loads(line) for line in lines[:: max(1, len(lines) // count)]][:count]
    registry = create_registry(settings)
    bench = Bench(registry, create_engine(settings), create_retriever(settings), options.max_tokens)
    await bench.retriever.start()
    await bench.engine.start()
    try:
        while "starting" in (bench.engine.health().state, bench.retriever.health().state):
            await asyncio.sleep(0.5)
        default = MULTI_STEP if options.together else tuple(info.name for info in registry.infos())
        names = options.only.split(",") if options.only else default
        kept = {row["pipeline"]: row for row in read_rows(options.rows)}
        rows = []
        for name in names:
            if name in kept:
                rows.append(kept[name])
                continue
            if options.together:
                rows.append(await together(bench, name, [q["question"] for q in questions]))
            else:
                rows.append(await measured(bench, name, questions))
            print(json.dumps(rows[-1]), flush=True)
            if options.rows:
                with options.rows.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    finally:
        await bench.engine.aclose()
        await bench.retriever.aclose()
    if options.table and not options.together:
        put(markdown(rows), options.table)
    print(json.dumps({"benchmark": "methods", "questions": len(questions), "rows": rows}))
    return int(any(row.get("failed") for row in rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, help="100, together 32")
    parser.add_argument("--max-tokens", type=int, default=64, help="of an answer, or of a part of it")
    parser.add_argument("--only", default="", help="pipelines, separated by commas")
    parser.add_argument("--together", action="store_true", help="one by one against all at once")
    parser.add_argument("--rows", type=Path, help="keep each line here, and go on from those that are there")
    parser.add_argument("--table", type=Path, help="write the table here")
    parser.add_argument("--xquad", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--data", type=Path)
    sys.exit(asyncio.run(main(parser.parse_args())))
