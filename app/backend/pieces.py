"""Long work in pieces, so that others get their turn in between.

Invariant: the pieces are in order, none is empty, and together they are all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

TEXTS, CHARS = 16, 16_000
"""What a model reads in a second or two, also on a CPU."""


def pieces(texts: Sequence[str], most: int = TEXTS) -> Iterator[slice]:
    """Slices of at most `most` texts that have at most `CHARS` characters together, or of one longer text."""
    start = chars = 0
    for place, text in enumerate(texts):
        if place > start and (place - start == most or chars + len(text) > CHARS):
            yield slice(start, place)
            start, chars = place, 0
        chars += len(text)
    if start < len(texts):
        yield slice(start, len(texts))
