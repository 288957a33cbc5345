"""Retrieval: quality against the same libraries used by hand, and what batching gains. Prints JSON; ratios matter.

    python benchmarks/retrieval.py [--data ../shared/data] [--queries 128] [--json]

Needs XQuAD in FlashRAG's formats in the data folder. Every speed ratio compares two ways in one run, interleaved.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(ROOT))

from crowd import report  # noqa: E402

from app.backend.engines.models import resolve_model  # noqa: E402
from app.backend.retrieval.encoder import SentenceEncoder, load_encoder  # noqa: E402
from app.backend.retrieval.ingest import corpora_folder, ingest  # noqa: E402
from app.backend.retrieval.local import LocalRetriever  # noqa: E402
from app.backend.types import RetrieverName  # noqa: E402
from app.settings import RetrievalSettings, Settings  # noqa: E402

LANGUAGES = ("en", "zh")
WAYS: tuple[RetrieverName, ...] = ("dense", "bm25", "hybrid")
RATIOS = ("dense_hit@1_ratio", "dense_hit@5_ratio", "bm25_hit@1_ratio", "hybrid_hit@1_ratio_to_better_part")
LEAST_GAIN = 3.0
Rankings = list[list[str]]


def load(data: Path, language: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Passages and questions."""
    passages, questions = (
        [json.loads(line) for line in (data / f"xquad-{language}-dev.{what}.jsonl").read_text("utf-8").splitlines()]
        for what in ("corpus", "questions")
    )
    return passages, questions


def hits(rankings: Rankings, questions: Sequence[dict[str, Any]]) -> dict[str, float]:
    pairs = [(q["metadata"]["gold_passage"], ids) for q, ids in zip(questions, rankings, strict=True)]
    return {f"hit@{k}": round(statistics.fmean(gold in ids[:k] for gold, ids in pairs), 4) for k in (1, 5)}


def dense_by_hand(passages: Sequence[dict[str, Any]], questions: Sequence[dict[str, Any]], model: Any) -> Rankings:
    import faiss

    index = faiss.IndexFlatIP(model.get_embedding_dimension())
    index.add(model.encode([p["contents"] for p in passages], normalize_embeddings=True))
    _, rows = index.search(model.encode([q["question"] for q in questions], normalize_embeddings=True), 5)
    return [[passages[row]["id"] for row in line] for line in rows.tolist()]


def bm25_by_hand(passages: Sequence[dict[str, Any]], questions: Sequence[dict[str, Any]], language: str) -> Rankings:
    import bm25s
    import jieba
    import Stemmer

    jieba.setLogLevel(logging.WARNING)

    def cut(texts: list[str]) -> Any:
        if language == "zh":
            return [jieba.lcut(text) for text in texts]
        stemmer = Stemmer.Stemmer("english")
        return bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False, return_ids=False)

    index = bm25s.BM25()
    index.index(cut([p["contents"] for p in passages]), show_progress=False)
    ids = [p["id"] for p in passages]
    results, _ = index.retrieve(cut([q["question"] for q in questions]), corpus=ids, k=5, show_progress=False)
    return [list(line) for line in results]


async def quality(retriever: LocalRetriever, data: Path, model: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for language in LANGUAGES:
        passages, questions = load(data, language)
        by_hand = {
            "dense": hits(dense_by_hand(passages, questions, model), questions),
            "bm25": hits(bm25_by_hand(passages, questions, language), questions),
        }
        ours = {}
        for way in WAYS:
            asked = (retriever.search(q["question"], corpus=language, top_k=5, retriever=way) for q in questions)
            ours[way] = hits([[p.id for p in answer] for answer in await asyncio.gather(*asked)], questions)
        better = max(ours["dense"]["hit@1"], ours["bm25"]["hit@1"])
        found[language] = {
            "by_hand": by_hand,
            "ours": ours,
            "dense_hit@1_ratio": round(ours["dense"]["hit@1"] / by_hand["dense"]["hit@1"], 4),
            "dense_hit@5_ratio": round(ours["dense"]["hit@5"] / by_hand["dense"]["hit@5"], 4),
            "bm25_hit@1_ratio": round(ours["bm25"]["hit@1"] / by_hand["bm25"]["hit@1"], 4),
            "hybrid_hit@1_ratio_to_better_part": round(ours["hybrid"]["hit@1"] / better, 4),
        }
    return found


async def seconds(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def speed(
    retriever: LocalRetriever, encoder: SentenceEncoder, model: Any, questions: Sequence[str], blocks: int
) -> dict[str, Any]:
    """Together against one by one, and one query through the batcher against the bare calls, in ABBA order. Each time
    with a number behind the questions: the vectors of those that were asked are remembered.
    """
    import faiss
    import torch

    index = faiss.read_index(str(next(retriever.folder.glob("en/*/dense.index"))))

    async def search(question: str) -> object:
        return await retriever.search(question, corpus="en", top_k=5, retriever="dense")

    turns = count()

    def anew() -> list[str]:
        turn = next(turns)
        return [f"{question} {turn}" for question in questions]

    async def one_by_one() -> None:
        for question in anew():
            await search(question)

    async def together() -> None:
        await asyncio.gather(*map(search, anew()))

    async def bare(question: str) -> None:
        faiss.omp_set_num_threads(1)
        torch.set_num_threads(1)
        index.search(model.encode([question], normalize_embeddings=True, show_progress_bar=False), 5)

    await together()
    gains, single, batched, idle, raw = [], [], [], [], []
    for block in range(blocks):
        order = [one_by_one, together] if block % 2 else [together, one_by_one]
        took = {work: await seconds(work) for work in order}
        single.append(len(questions) / took[one_by_one])
        batched.append(len(questions) / took[together])
        gains.append(took[one_by_one] / took[together])
    for number, question in enumerate(anew()):
        pair: list[tuple[list[float], Callable[[str], Awaitable[object]]]] = [(idle, search), (raw, bare)]
        for times, work in pair if number % 2 else reversed(pair):
            times.append(await seconds(lambda work=work, question=question: work(question)))  # type: ignore[misc]
    return {
        "one_by_one_per_s": round(statistics.median(single), 1),
        "together_per_s": round(statistics.median(batched), 1),
        "batching_gain": round(statistics.median(gains), 2),
        "idle_ms": round(statistics.median(idle) * 1e3, 2),
        "bare_ms": round(statistics.median(raw) * 1e3, 2),
        "idle_ratio": round(statistics.median(a / b for a, b in zip(idle, raw, strict=True)), 3),
        "encoder": encoder.id,
    }


async def run(data: Path, queries: int, blocks: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder), retrieval=RetrievalSettings(cache_entries=0))
        weights = resolve_model(settings.retrieval.encoder, settings.data / "models", logging.info)
        encoder = load_encoder(settings.retrieval, weights)
        for language in LANGUAGES:
            ingest(settings, language, [data / f"xquad-{language}-dev.corpus.jsonl"], open_encoder=lambda: encoder)
        retriever = LocalRetriever(
            settings.retrieval, corpora_folder(settings), lambda ref: ref, load=lambda *_: encoder
        )
        await retriever.start()
        try:
            questions = [question["question"] for question in load(data, "en")[1]][:queries]
            return {
                "quality": await quality(retriever, data, encoder.model),
                "speed": await speed(retriever, encoder, encoder.model, questions, blocks),
            }
        finally:
            await retriever.aclose()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--queries", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one line")
    options = parser.parse_args()
    if not (options.data / "xquad-en-dev.corpus.jsonl").is_file():
        sys.exit(f"There is no XQuAD in {options.data}; name its folder with --data.")
    found = asyncio.run(run(options.data, options.queries, options.blocks))
    return report("retrieval", targets(found), found, options)


def targets(found: dict[str, Any]) -> dict[str, bool]:
    """No worse than by hand in every language, and worth batching."""
    worst = {name: min(quality[name] for quality in found["quality"].values()) for name in RATIOS}
    return {name: ratio >= 1 for name, ratio in worst.items()} | {
        "batching_gain": found["speed"]["batching_gain"] >= LEAST_GAIN
    }


if __name__ == "__main__":
    sys.exit(main())
