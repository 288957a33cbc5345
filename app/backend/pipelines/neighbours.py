"""Questions of which it is known whether a search made the model's answer better, for SKR.

Invariant: they are read once, and their vectors are made once, when they are first needed; nothing else changes.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.backend.errors import BadInput
from app.backend.protocols import Retriever

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BETTER, WORSE = "ir_better", "ir_worse"
_TOGETHER = 64
"""Texts that are embedded at once, so that others' searches come between."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A question, and what a search did for its answer: ir_better, ir_worse, or neither."""

    question: str
    judgement: str


class Neighbours:
    """Finds the labelled questions that are most like another."""

    def __init__(self, labelled: Sequence[Labelled]) -> None:
        self._labelled = tuple(labelled)
        self._counts = Counter(one.judgement for one in labelled)
        self._vectors: NDArray[np.float32] | None = None
        self._embedding = asyncio.Lock()

    async def nearest(self, question: str, topk: int, retriever: Retriever) -> tuple[Labelled, ...]:
        """The `topk` labelled questions most like `question`. Raises Unavailable without an encoder."""
        import numpy as np

        (asked,) = await retriever.embed([question])
        likeness = await self._embedded(retriever) @ np.array(asked, dtype=np.float32)
        return tuple(self._labelled[at] for at in (-likeness).argsort(kind="stable")[:topk])

    def search_helps(self, near: Sequence[Labelled]) -> bool:
        """The paper's vote: the neighbours lean to a search as much as all labelled questions do, and the same way."""
        lean, near_counts = self._counts[BETTER] - self._counts[WORSE], Counter(one.judgement for one in near)
        bar = int(lean * len(near) / len(self._labelled))
        near_lean = near_counts[BETTER] - near_counts[WORSE]
        if lean < 0:
            return not (near_lean < 0 and near_lean <= bar)
        return near_lean > 0 and near_lean >= bar

    async def _embedded(self, retriever: Retriever) -> NDArray[np.float32]:
        import numpy as np

        async with self._embedding:
            if self._vectors is None:
                texts = [one.question for one in self._labelled]
                parts = [await retriever.embed(texts[at : at + _TOGETHER]) for at in range(0, len(texts), _TOGETHER)]
                self._vectors = np.array([vector for part in parts for vector in part], dtype=np.float32)
            return self._vectors


def read(path: Path) -> tuple[Labelled, ...]:
    """The labelled questions of a file as FlashRAG has it: a JSON list of {"question", "judgement"}."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        labelled = tuple(Labelled(str(one["question"]), str(one["judgement"]).strip()) for one in found)
    except OSError as error:
        raise BadInput(f"retrieval.judger_data cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput('retrieval.judger_data must be a JSON list of {"question": ..., "judgement": ...}.') from error
    if not any(one.judgement in (BETTER, WORSE) for one in labelled):
        raise BadInput(f"retrieval.judger_data has no question judged {BETTER} or {WORSE}.")
    return labelled
