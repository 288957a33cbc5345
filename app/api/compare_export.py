"""A comparison as Markdown to keep. Pure functions.

Invariant: as in `export`: every number that an answer cites is in the list of sources below it, and no viewer finds
HTML or images in it.
"""

from __future__ import annotations

from collections.abc import Iterator

from app.api.export import day, inert, line, sources, told
from app.backend.comparing import compare_params
from app.backend.records import Column, Comparison

_VERDICTS = {"tie": "a tie", "both_bad": "all bad"}


def markdown(comparison: Comparison) -> str:
    parts = [f"# {inert(line(comparison.question))}", f"*{day(comparison.created_at)}*"]
    if vote := comparison.vote:
        reasons = f" ({inert(', '.join(vote.tags))})" if vote.tags else ""
        parts.append(f"Vote: {_VERDICTS.get(vote.winner, vote.winner.upper())}{reasons}")
        if vote.comment:
            parts.append("\n".join(f"> {row}".rstrip() for row in inert(vote.comment).splitlines()))
    for column in comparison.columns:
        parts.extend(_column(column))
    if not comparison.hidden:
        parts.extend(_params(comparison))
    return "\n\n".join(parts) + "\n"


def _column(column: Column) -> Iterator[str]:
    generation = column.generation
    yield f"## {column.letter.upper()}" + (f": {inert(generation.pipeline)}" if generation.pipeline else "")
    yield from told(generation)
    if generation.passages:
        yield "### Sources"
        yield "\n".join(sources(generation))


def _params(comparison: Comparison) -> Iterator[str]:
    letters = [column.letter.upper() for column in comparison.columns]
    lines = [f"| | {' | '.join(letters)} |", "|---" * (len(letters) + 1) + "|"]
    for row in compare_params([column.generation for column in comparison.columns]):
        values = ["" if value is None else inert(line(str(value))).replace("|", "\\|") for value in row.values]
        lines.append(f"| {row.name} | {' | '.join(values)} |")
    yield "## How they were made"
    yield "\n".join(lines)
