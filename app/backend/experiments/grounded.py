"""How much of an answer rests on the passages that were found for it.

Invariant: measured by the rule that cites answers (`pipelines/citations`), so it means what the page shows; what the
model itself claims with [n] counts for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.backend.pipelines.citations import cite, without_markers
from app.backend.retrieval.corpus import split_contents
from app.backend.text import sentences
from app.backend.types import Passage


def groundedness(answer: str, contents: Sequence[str]) -> float:
    """The share of the answer's sentences that a passage supports; an answer that says nothing has none."""
    plain = without_markers(answer)
    said = sentences(plain)
    passages = [Passage(str(n), *split_contents(text), 0.0, "") for n, text in enumerate(contents)]
    supported = {citation.sentence for citation in cite(plain, passages)}
    return len(supported) / len(said) if said else 0.0
