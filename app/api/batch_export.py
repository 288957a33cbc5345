"""The rows of a batch as a file to work with: JSON lines, or CSV for a spreadsheet. Pure functions.

Invariant: both hold every row in the order of the file, also those that were not asked yet; no text in the CSV is taken
for a formula.
"""

from __future__ import annotations

import csv as writer
import io
from collections.abc import Iterator
from string import ascii_lowercase

from app.api.batch_schemas import LineOut
from app.backend.batches.records import Batch
from app.backend.experiments.report import Report, Scored

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BOM = "\ufeff"
"""Without it Excel takes the text for another encoding than UTF-8."""


def jsonl(batch: Batch, report: Report) -> str:
    return "".join(f"{LineOut.of_row(batch, report.metric, row).model_dump_json()}\n" for row in report.rows)


def csv(batch: Batch, report: Report) -> str:
    """One row a question, with the columns of each side named by its letter."""
    file = io.StringIO()
    rows = writer.writer(file)
    per_side = ("pipeline", "answer", report.metric, "status", "error", "total_ms", "generation_id")
    letters = ascii_lowercase[: len(batch.sides)]
    named = [f"{letter}_{name}" for letter in letters for name in per_side]
    rows.writerow(["n", "question", "golden_answers", "comparison_id", *named])
    rows.writerows([_cell(value) for value in _values(batch, row)] for row in report.rows)
    return _BOM + file.getvalue()


def _values(batch: Batch, one: Scored) -> Iterator[str | float | None]:
    row = one.row
    yield from (row.position + 1, row.asked.question, " | ".join(row.asked.golden_answers), row.comparison_id)
    for side, cell, score in zip(batch.sides, row.cells, one.scores, strict=True):
        yield side.pipeline
        yield from (cell.answer, score, cell.status, cell.error, cell.ms, cell.generation_id) if cell else [None] * 6


def _cell(value: str | float | None) -> str | float | None:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
