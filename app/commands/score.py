"""`score`: how good answers are, by FlashRAG's metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.backend.errors import BadInput, StoreError
from app.commands.common import Json, emit, note, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.backend.experiments.metrics import Score

DEFAULT = "em,acc,f1"


def score(
    predictions: Annotated[Path, typer.Option("--predictions", metavar="FILE", help="JSON lines or a JSON list.")],
    metrics: Annotated[str, typer.Option("--metrics", metavar="A,B", help="Which, separated by commas.")] = DEFAULT,
    topk: Annotated[int, typer.Option("--topk", min=1, help="Passages that count in the retrieval metrics.")] = 5,
    regex: Annotated[bool, typer.Option("--regex", help="Golden answers are patterns, as in curatedtrec.")] = False,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="DIR", help="Also write metric_score.txt and item_scores.jsonl.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a file of predictions (question, golden_answers, pred, retrieval_result)."""
    from app.backend.experiments.items import read_items
    from app.backend.experiments.metrics import Options, names
    from app.backend.experiments.metrics import score as score_items

    wanted = [name.strip().lower() for name in metrics.split(",") if name.strip()]
    if not wanted:
        raise BadInput(f"No metric is named; choose from {', '.join(names())}.")
    items = read_items(predictions)
    scores = score_items(items, wanted, Options(topk, regex))
    note(f"{len(items)} items")
    for result in scores.values():
        say(f"{result.key}: {result.value:.4f}")
    if save is not None:
        _write(save, scores)
    if as_json:
        emit({"n": len(items), **{name: result.value for name, result in scores.items()}})


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
