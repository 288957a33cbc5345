"""`score`: how good answers are, by FlashRAG's metrics."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.backend.errors import BadInput, StoreError
from app.commands.common import (
    Config,
    Data,
    Engine,
    EngineUrl,
    Json,
    Model,
    Profile,
    emit,
    engine_flags,
    note,
    prepare,
    read_settings,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.backend.experiments.items import Item
    from app.backend.experiments.metrics import Score
    from app.settings import Settings

DEFAULT = "em,acc,f1"


def score(
    predictions: Annotated[Path, typer.Option("--predictions", metavar="FILE", help="JSON lines or a JSON list.")],
    metrics: Annotated[str, typer.Option("--metrics", metavar="A,B", help="Which, separated by commas.")] = DEFAULT,
    topk: Annotated[int, typer.Option("--topk", min=1, help="Passages that count in the retrieval metrics.")] = 5,
    regex: Annotated[bool, typer.Option("--regex", help="Golden answers are patterns, as in curatedtrec.")] = False,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="DIR", help="Also write metric_score.txt and item_scores.jsonl.")
    ] = None,
    data: Data = None,
    config: Config = None,
    profile: Profile = None,
    engine: Engine = None,
    engine_url: EngineUrl = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Score a file of predictions (question, golden_answers, pred, retrieval_result). Two metrics ask the engine."""
    from app.backend.experiments.items import read_items
    from app.backend.experiments.metrics import BY_MODEL, Options, names
    from app.backend.experiments.metrics import score as score_items

    wanted = [name.strip().lower() for name in metrics.split(",") if name.strip()]
    if not wanted:
        raise BadInput(f"No metric is named; choose from {', '.join(names())}.")
    asking = [name for name in wanted if name in BY_MODEL]
    if asking and not (engine or engine_url or profile or config):
        raise BadInput(
            f"{asking[0]} asks a model: add --engine-url URL of a vLLM server, or --engine vllm to start one here."
        )
    items = read_items(predictions)
    scores = score_items(items, [name for name in wanted if name not in asking], Options(topk, regex))
    if asking:
        settings = read_settings(data, config, profile, {"engine": engine_flags(engine, engine_url, model)})
        prepare(settings)
        scores |= asyncio.run(_by_model(settings, items, asking))
    scores = {name: scores[name] for name in wanted}
    note(f"{len(items)} item{'s' * (len(items) != 1)}")
    for result in scores.values():
        say(f"{result.key}: {result.value:.4f}")
        if result.unread:
            note(f"{result.key}: {result.unread} ratings could not be read and count 0; a larger model may do better.")
        if result.unknown:
            known = len(items) - result.unknown
            note(f"{result.key}: over the {known} of {len(items)} items whose right passages are known.")
    if save is not None:
        _write(save, scores)
    if as_json:
        emit({"n": len(items), **{name: result.value for name, result in scores.items()}})


async def _by_model(settings: Settings, items: Sequence[Item], wanted: Sequence[str]) -> dict[str, Score]:
    from app.backend.engines import create_engine
    from app.backend.experiments import judged

    engine = create_engine(settings)
    await engine.start()
    try:
        return await judged.score(items, wanted, engine)
    finally:
        await engine.aclose()


def _write(folder: Path, scores: Mapping[str, Score]) -> None:
    """FlashRAG's `metric_score.txt`, and a line of numbers for each item."""
    rows = zip(*(result.items for result in scores.values()), strict=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lines = (f"{result.key}: {result.value}\n" for result in scores.values())
        (folder / "metric_score.txt").write_text("".join(lines), encoding="utf-8")
        numbers = (json.dumps(dict(zip(scores, row, strict=True))) + "\n" for row in rows)
        (folder / "item_scores.jsonl").write_text("".join(numbers), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"The scores cannot be written to {folder} ({error.strerror}).") from error
