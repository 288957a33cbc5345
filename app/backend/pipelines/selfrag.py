"""Self-RAG (Asai et al. 2024; FlashRAG: `selfrag`): the model judges whether to search, writes one answer from each
passage, all at once, and judges how far each answer is relevant, supported and useful; the best one counts.

A long answer is a beam search over pieces: each may come from another passage, and their scores are multiplied.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from app.backend.errors import BadInput
from app.backend.events import Degraded, Event, Step, Thought
from app.backend.pipelines.citations import without_markers
from app.backend.pipelines.modes import mode, native
from app.backend.pipelines.params import Entry, RetrievalParams
from app.backend.pipelines.selfrag_critics import Critic, Native, Prompted, Segment
from app.backend.pipelines.steps import Evidence, answer, conclude, look_up, together
from app.backend.protocols import Tools
from app.backend.types import Passage, Query

CHECKPOINT = "self-rag"


class SelfRagParams(RetrievalParams):
    context_topk: int = Field(20, ge=1, le=100, description="Of these, so many are judged, each in its own prompt.")
    mode: Literal["adaptive_retrieval", "always_retrieve", "no_retrieval"] = Field(
        "adaptive_retrieval", description="Whether the model decides if it searches."
    )
    threshold: float = Field(
        0.2, ge=0, le=1, description="It searches when a search is more probably needed than this."
    )
    w_rel: float = Field(1.0, ge=0, le=10, description="Weight of the passage's relevance.")
    w_sup: float = Field(1.0, ge=0, le=10, description="Weight of the support for the answer in the passage.")
    w_use: float = Field(1.0, ge=0, le=10, description="Weight of the answer's usefulness.")
    use_grounding: bool = Field(True, description="Judge the support.")
    use_utility: bool = Field(True, description="Judge the usefulness.")
    use_seqscore: bool = Field(True, description="Count how probable the model finds its own words.")
    long_form: bool = Field(False, description="Write the answer in pieces, each from the passage that suits it best.")
    max_depth: int = Field(2, ge=1, le=10, description="Pieces of a long answer.")
    beam_width: int = Field(2, ge=1, le=10, description="Long answers that are followed at once.")
    ignore_cont: bool = Field(True, description="Leave pieces without support out of a long answer.")


@dataclass(frozen=True, slots=True)
class Path:
    """An answer so far: its pieces, and the product of their scores."""

    segments: tuple[Segment, ...] = ()
    score: float = 1.0

    @property
    def more(self) -> bool:
        return not self.segments or self.segments[-1].more

    @property
    def raw(self) -> str:
        return "".join(segment.raw for segment in self.segments)

    def text(self, ignore_unfounded: bool) -> str:
        founded = [s.text for s in self.segments if not (ignore_unfounded and s.unfounded)]
        return " ".join(founded or (s.text for s in self.segments))


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = SelfRagParams.of(query.params)
    evidence = Evidence()
    question = query.standalone
    is_native = native(tools.engine.model, CHECKPOINT)
    yield mode(is_native)
    trained = Native(question, params.sampling(), tools)
    asked = Prompted(question, params.sampling(), tools, params.use_grounding, params.use_utility)
    critic: Critic = trained if is_native else asked
    search = params.mode == "always_retrieve"
    if params.mode == "adaptive_retrieval":
        yield Step("judge", "retrieval")
        needed = await critic.wants_search()
        yield Thought(f"A search is needed: {needed:.2f}")
        search = needed > params.threshold
    passages: Sequence[Passage] = ()
    if search:
        async with aclosing(look_up([question], query.corpus, params, tools, evidence)) as events:
            async for event in events:
                yield event
        passages = evidence.found[-1][: params.context_topk]
    beam = [Path()]
    for depth in range(params.max_depth if params.long_form else 1):
        pairs = [(path, passage) for path in beam if path.more for passage in passages]
        if not pairs:
            break
        yield Step("judge", f"{len(pairs)} passages" if depth == 0 else f"piece {depth + 1}")
        try:
            segments = await together(*(critic.segment(path.raw, p, params.long_form) for path, p in pairs))
        except BadInput:
            if depth == 0:
                raise
            yield Degraded("answer", "The answer was cut where it filled the model's context.")
            break
        grown: list[Path] = []
        for (path, passage), segment in zip(pairs, segments, strict=True):
            if segment.text:
                cited = replace(segment, text=_cited(segment, evidence.number(passage)))
                grown.append(Path((*path.segments, cited), path.score * score(segment, params)))
                yield Thought(f"[{evidence.number(passage)}] {grown[-1].score:.2f}: {segment.text.strip()}\n")
        if not grown:
            break
        beam = sorted(grown, key=lambda path: -path.score)[: params.beam_width]
    text = beam[0].text(params.ignore_cont)
    if passages and not text:
        yield Degraded("method", "The model wrote nothing that could be judged; it was asked again plainly.")
    if is_native and not text:
        yield Step("generate")
        text = await trained.from_memory()
        if not text:
            yield Degraded("answer", "The model wrote nothing.")
    plainly = answer(query, passages, params.sampling(), tools, evidence)
    async with aclosing(conclude(text, evidence) if text or is_native else plainly) as events:
        async for event in events:
            yield event


def score(segment: Segment, params: SelfRagParams) -> float:
    """How good a piece is, by the paper's weights."""
    return (
        params.use_seqscore * segment.likely
        + params.w_rel * segment.relevant
        + params.use_grounding * params.w_sup * segment.supported
        + params.use_utility * params.w_use * segment.useful
    )


def _cited(segment: Segment, number: int) -> str:
    """Its text with the number of its passage, which the model was not told."""
    text = without_markers(segment.text).strip()
    return text if segment.unfounded else f"{text} [{number}]"


ENTRY = Entry(
    family="loop",
    title="Self-RAG",
    summary="Judges whether to search, answers from each passage, and keeps the answer that is best founded.",
    paper="Asai et al. 2024, Self-RAG: Learning to Retrieve, Generate, and Critique through Self-Reflection",
    uses_retrieval=True,
    params=SelfRagParams,
    run=run,
)
