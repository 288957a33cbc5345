"""Answered questions, read from FlashRAG's files.

Invariant: a line that cannot be scored is one BadInput that names the file and the line; nothing is guessed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.backend.errors import BadInput


@dataclass(frozen=True, slots=True)
class Item:
    """One question with its answer and what it is measured against.

    `retrieved` holds the `contents` (title, newline, text) of the passages, best first; `retrieved_ids` their ids.
    `gold_ids` are the passages that answer the question, where a dataset knows them. `prompt` is what the model read.
    """

    question: str
    golden_answers: tuple[str, ...]
    pred: str = ""
    retrieved: tuple[str, ...] = ()
    retrieved_ids: tuple[str, ...] = ()
    gold_ids: tuple[str, ...] = ()
    prompt: str | None = None


def read_items(path: Path) -> list[Item]:
    """The items of `path`: JSON lines, or a JSON list such as FlashRAG's `intermediate_data.json`.

    `pred`, `retrieval_result` and `prompt` stand beside the question or under `output`; in multiple choice,
    `golden_answers` are positions in `choices`.
    """
    items = [_item(record, f"{path.name}, {where}") for where, record in _records(path)]
    if not items:
        raise BadInput(f"{path.name} has no items; give a file with one JSON object a line.")
    return items


def _records(path: Path) -> Iterator[tuple[str, object]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BadInput(f"{path} cannot be read ({reason}); give a JSON or JSON lines file.") from error
    if text.lstrip().startswith("["):
        try:
            records = json.loads(text)
        except ValueError as error:
            raise BadInput(f"{path.name} is not valid JSON: {error}.") from error
        yield from ((f"item {n}", record) for n, record in enumerate(records, 1))
        return
    for n, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield f"line {n}", json.loads(line)
        except ValueError as error:
            raise BadInput(f"{path.name}, line {n} is not valid JSON; put one object on each line.") from error


def _item(record: object, where: str) -> Item:
    if not isinstance(record, Mapping):
        raise BadInput(f"{where} is no object; it needs question, golden_answers and pred.")
    output = record.get("output")
    values = {**record, **(output if isinstance(output, Mapping) else {})}
    pred, prompt = values.get("pred"), values.get("prompt")
    if not isinstance(pred, str):
        raise BadInput(f"{where} has no text `pred` to score.")
    passages = values.get("retrieval_result") or ()
    if not isinstance(passages, list | tuple) or not all(isinstance(passage, Mapping) for passage in passages):
        raise BadInput(f"{where}: `retrieval_result` must be a list of passages with `contents`.")
    metadata = values.get("metadata")
    gold = metadata.get("gold_ids", ()) if isinstance(metadata, Mapping) else ()
    return Item(
        question=str(values.get("question", "")),
        golden_answers=golden_answers(values, where),
        pred=pred,
        retrieved=tuple(_contents(passage) for passage in passages),
        retrieved_ids=tuple(str(passage.get("id", "")) for passage in passages),
        gold_ids=tuple(map(str, gold)),
        prompt=prompt if isinstance(prompt, str) else None,
    )


def golden_answers(values: Mapping[str, object], where: str) -> tuple[str, ...]:
    """The right answers of a record of FlashRAG's; `where` it stands is for the error."""
    golden, choices = values.get("golden_answers"), values.get("choices")
    if isinstance(golden, str):
        return (golden,)
    if not isinstance(golden, list) or not golden:
        raise BadInput(f"{where} has no `golden_answers`; give a list of right answers.")
    if isinstance(choices, list) and choices:
        try:
            return tuple(str(choices[int(index)]) for index in golden)
        except (ValueError, TypeError, IndexError) as error:
            raise BadInput(f"{where}: in multiple choice, `golden_answers` are positions in `choices`.") from error
    return tuple(map(str, golden))


def _contents(passage: Mapping[str, object]) -> str:
    contents = passage.get("contents")
    return contents if isinstance(contents, str) else f"{passage.get('title', '')}\n{passage.get('text', '')}"
