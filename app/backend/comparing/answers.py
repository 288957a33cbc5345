"""What the answers say, side by side, sentence by sentence, with the passages that each sentence rests on.

Invariant: every sentence of every answer stands in exactly one cell, and the cells of a column keep its order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from app.backend.text import sentences
from app.backend.types import Citation, Span

Change = Literal["same", "changed", "moved", "only"]
"""All columns say it in the same words; several say it in other words, or not all do; others say it at another place;
one alone says it."""

ALIKE = 0.5
"""Two sentences say the same in other words when they share at least this part of their words."""
MOST_SENTENCES = 300
"""Of longer answers what follows stands in one last cell: comparing takes the product of the lengths."""

_MARKER = re.compile(r"\s*[\[【]\d+(?:\s*[,，、;]\s*\d+)*[\]】]")
_WORD = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]|(?:(?![\u3400-\u4dbf\u4e00-\u9fff_])\w)+")


@dataclass(frozen=True, slots=True)
class Cell:
    """A sentence of an answer: where it stands there, and the numbers of the passages it rests on."""

    text: str
    span: Span
    cites: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """Sentences that say the same; None where a column has none. `elsewhere` are the columns that say it at a place of
    their own, in another row.
    """

    cells: tuple[Cell | None, ...]
    change: Change
    elsewhere: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Line:
    """A row while it grows: its cells so far, and the words of each."""

    cells: tuple[Cell | None, ...]
    words: tuple[Counter[str], ...]


def compare_answers(columns: Sequence[tuple[str, Sequence[Citation]]]) -> tuple[AnswerRow, ...]:
    """The answers with their citations, a column each."""
    lines: list[_Line] = []
    for at, (answer, citations) in enumerate(columns):
        lines = _joined(lines, _cells(answer, citations), at)
    speaking = sum(any(line.cells[at] for line in lines) for at in range(len(columns)))
    elsewhere = _elsewhere(lines)
    return tuple(
        AnswerRow(line.cells, _change(line, speaking, there), there)
        for line, there in zip(lines, elsewhere, strict=True)
    )


def _cells(answer: str, citations: Sequence[Citation]) -> list[Cell]:
    spans = sentences(answer)
    if len(spans) > MOST_SENTENCES:
        spans = [*spans[: MOST_SENTENCES - 1], (spans[MOST_SENTENCES - 1][0], spans[-1][1])]
    return [Cell(answer[start:end], (start, end), _cites((start, end), citations)) for start, end in spans]


def _cites(span: Span, citations: Sequence[Citation]) -> tuple[int, ...]:
    return tuple(sorted({c.n for c in citations if c.sentence[0] < span[1] and span[0] < c.sentence[1]}))


def _words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(_MARKER.sub("", text).lower()))


def _joined(lines: list[_Line], cells: list[Cell], at: int) -> list[_Line]:
    """The rows with one more column: each sentence beside the one it is most like, in the order of both."""
    words = [_words(cell.text) for cell in cells]
    like = [[max((_likeness(own, other) for other in line.words), default=0.0) for own in words] for line in lines]
    best = [[0.0] * (len(cells) + 1) for _ in range(len(lines) + 1)]  # what can still be matched from (row, sentence)
    for i in reversed(range(len(lines))):
        for j in reversed(range(len(cells))):
            together = like[i][j] + best[i + 1][j + 1] if like[i][j] >= ALIKE else 0.0
            best[i][j] = max(together, best[i + 1][j], best[i][j + 1])
    joined: list[_Line] = []
    i = j = 0
    while i < len(lines) or j < len(cells):
        if i < len(lines) and j < len(cells) and like[i][j] >= ALIKE:
            together = like[i][j] + best[i + 1][j + 1]
            if together >= best[i + 1][j] and together >= best[i][j + 1]:
                joined.append(_Line((*lines[i].cells, cells[j]), (*lines[i].words, words[j])))
                i, j = i + 1, j + 1
                continue
        if j == len(cells) or (i < len(lines) and best[i + 1][j] >= best[i][j + 1]):
            joined.append(_Line((*lines[i].cells, None), lines[i].words))
            i += 1
        else:
            joined.append(_Line((*[None] * at, cells[j]), (words[j],)))
            j += 1
    return joined


def _likeness(a: Counter[str], b: Counter[str]) -> float:
    """The part of their words that two sentences share, from 0 to 1."""
    total = a.total() + b.total()
    return 2 * (a & b).total() / total if total else 1.0


def _elsewhere(lines: Sequence[_Line]) -> list[frozenset[int]]:
    """For each row the columns without a sentence in it that say the same in a row without its columns: sentences that
    stand in another order cannot all be beside each other.
    """
    speakers = [frozenset(at for at, cell in enumerate(line.cells) if cell) for line in lines]
    found = [frozenset[int]()] * len(lines)
    for i, j in combinations(range(len(lines)), 2):
        if speakers[i] & speakers[j]:
            continue
        if any(_likeness(own, other) >= ALIKE for own in lines[i].words for other in lines[j].words):
            found[i] |= speakers[j]
            found[j] |= speakers[i]
    return found


def _change(line: _Line, speaking: int, elsewhere: frozenset[int]) -> Change:
    """`speaking` columns have an answer; those without one are not compared."""
    if elsewhere:
        return "moved"
    if len(line.words) == 1:
        return "only"
    same = len(line.words) == speaking and all(words == line.words[0] for words in line.words)
    return "same" if same else "changed"
