"""What an answer rests on that broke off: found in what was written, as a pipeline finds it for a whole answer.

Invariant: pure; only passages that the model was given are cited.
"""

from __future__ import annotations

from app.backend.digest import Digest
from app.backend.pipelines.citations import cite
from app.backend.types import Citation, Params


def cited(digest: Digest, params: Params) -> tuple[Citation, ...]:
    """The citations of the text so far. Of one search the model reads the best `context_topk`, fewer on a busy server;
    a method that searches again chooses among all it found.
    """
    passages = digest.passages
    if digest.searches < 2:
        limits = [item.n for item in digest.degraded if item.code == "load_passages"]
        passages = passages[: min(int(params.get("context_topk", len(passages))), *limits, len(passages))]
    return cite(digest.answer, passages) if digest.answer and passages else ()
