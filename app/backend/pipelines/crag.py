"""Corrective RAG (Yan et al. 2024): every passage is judged. When one is good enough, what helps of the passages is
read; when none is, it searches again with other words; in between, both. What is not in the corpus is said to be so.

The paper judges by a trained T5 from -1 to 1 and looks further on the web; here the engine's model judges, by the
probability of "yes", and the corpus is searched again. The thresholds are near the paper's, put on that scale: a model
that is not sure either way loses no passage and calls nothing absent.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from pydantic import Field

from app.backend.events import Degraded, Event, Step, Thought
from app.backend.pipelines.budget import fit
from app.backend.pipelines.modes import mode
from app.backend.pipelines.params import Entry, RetrievalParams
from app.backend.pipelines.prompts import inert, quoted
from app.backend.pipelines.steps import Evidence, answer, choose, complete, conclude, look_up, together
from app.backend.protocols import Tools
from app.backend.text import language, sentences
from app.backend.types import Exchange, Message, Passage, Query, Sampling

JUDGE = "Does the passage hold the answer to the question? Answer yes or no."
KEYWORDS = "Write the words to search for to answer the user's question, on one line, and nothing else."
NOT_FOUND = {"en": "The corpus does not hold the answer to this question.", "zh": "语料库里没有这个问题的答案。"}
_JUDGED = 20
"""Passages of a search that are judged."""
_STRIPS, _STRIP_SENTENCES = 4, 2
_YES_NO = ("yes", "no")


class CragParams(RetrievalParams):
    upper_threshold: float = Field(0.75, ge=0, le=1, description="A passage that helps more probably is good enough.")
    lower_threshold: float = Field(0.05, ge=0, le=1, description="A passage that helps less probably is not read.")
    refine: bool = Field(True, description="Of the passages, only the parts that help are read.")


@dataclass(frozen=True, slots=True)
class Judged:
    """A passage, and how probably it helps; None when the model does not say."""

    passage: Passage
    helps: float | None


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = CragParams.of(query.params)
    yield mode(False)
    evidence = Evidence()
    question = query.standalone
    judged, sought = list[Judged](), question
    for round_ in (1, 2):
        async with aclosing(look_up([sought], query.corpus, params, tools, evidence)) as events:
            async for event in events:
                yield event
        known = {(one.passage.corpus, one.passage.id) for one in judged}
        new = [p for p in evidence.found[-1] if (p.corpus, p.id) not in known][:_JUDGED]
        if new:
            yield Step("judge", f"{len(new)} passages")
            judged += await together(*(_judged(question, p, tools) for p in new))
            marks = (f"[{evidence.number(one.passage)}] {_shown(one.helps)}" for one in judged[-len(new) :])
            yield Thought(", ".join(marks))
        if not judged or any(one.helps is None or one.helps > params.upper_threshold for one in judged):
            break
        if round_ == 1:
            yield Step("rewrite", "search again")
            prompt = (Message("system", KEYWORDS), Message("user", inert(question)))
            written = await complete(prompt, Sampling(64, params.temperature, stop=("\n",)), tools)
            sought = written.strip().strip('"“”')
            if not sought or sought == question:
                break
    if any(one.helps is None for one in judged):
        yield Degraded("method", "The model did not judge every passage; those without a judgement were kept.")
    helpful = [one for one in judged if one.helps is None or one.helps >= params.lower_threshold]
    helpful.sort(key=lambda one: -1 if one.helps is None else -one.helps)
    if judged and not helpful:
        async with aclosing(conclude(NOT_FOUND.get(language(query.question), NOT_FOUND["en"]), Evidence())) as events:
            async for event in events:
                yield event
        return
    passages = [one.passage for one in helpful][: params.context_topk]
    if params.refine and passages and all(one.helps is not None for one in judged):
        yield Step("refine")
        passages = await together(*(_refined(question, p, params.lower_threshold, tools) for p in passages))
    async with aclosing(answer(query, passages, params.sampling(), tools, evidence)) as events:
        async for event in events:
            yield event


async def _judged(question: str, passage: Passage, tools: Tools) -> Judged:
    """Whether the passage helps; one that does not fit beside the question does not."""
    prompt = await fit(tools.engine, question, (), (passage,), 1, _layout)
    if not prompt.passages:
        return Judged(passage, 0.0)
    said = await choose(prompt.messages, _YES_NO, tools)
    return Judged(passage, said["yes"] if any(said.values()) else None)


async def _refined(question: str, passage: Passage, least: float, tools: Tools) -> Passage:
    """The passage without its parts that do not help; at least its best part is left."""
    parts = strips(passage.text)
    if len(parts) == 1:
        return passage
    judged = await together(*(_judged(question, replace(passage, text=part), tools) for part in parts))
    best = max(one.helps or 0.0 for one in judged)
    kept = [one.passage.text for one in judged if one.helps is None or one.helps >= min(least, best)]
    return replace(passage, text=" ".join(kept))


def strips(text: str) -> list[str]:
    """A few stretches of sentences, which are the text."""
    spans = sentences(text)
    size = max(_STRIP_SENTENCES, -(-len(spans) // _STRIPS))
    groups = [spans[at : at + size] for at in range(0, len(spans), size)]
    return [text[group[0][0] : group[-1][1]] for group in groups] or [text]


def _layout(question: str, _: Sequence[Exchange], passages: Sequence[Passage]) -> tuple[Message, ...]:
    shown = "".join(f"{quoted(p.title)}\n{quoted(p.text)}\n\n" for p in passages)
    return (Message("user", f"{shown}Question: {inert(question)}\n{JUDGE}"),)


def _shown(helps: float | None) -> str:
    return "?" if helps is None else f"{helps:.2f}"


ENTRY = Entry(
    family="adaptive",
    title="Corrective RAG",
    summary="Judges the passages, searches again when they do not help, and says what is not in the corpus.",
    paper="Yan et al. 2024, Corrective Retrieval Augmented Generation",
    uses_retrieval=True,
    params=CragParams,
    run=run,
)
