"""SuRe (Kim et al. 2024; FlashRAG: `sure`): two candidate answers, and for each a summary of the passages that supports
it. The candidate whose summary is found valid and more informative than the other's is the answer.

The prompts are the paper's. The summaries are written together, and so are all judgements.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import permutations

from pydantic import Field

from app.backend.errors import BadInput
from app.backend.events import Degraded, Event, Step, Thought
from app.backend.pipelines.budget import fit
from app.backend.pipelines.params import Entry, RetrievalParams
from app.backend.pipelines.prompts import inert, quoted
from app.backend.pipelines.steps import Evidence, answer, complete, conclude, look_up, together
from app.backend.protocols import Tools
from app.backend.types import Exchange, Message, Passage, Query, Sampling

CANDIDATES = """\
Below are {count} passages related to the question at the end. After reading the passages, provide two correct \
candidates for the answer to the question at the end. Each answer should be in the form: (a) xx, (b) yy, and should \
not exceed 3 words for each candidate.

{reference}Question: {question}
Answer:"""
SUMMARY = """\
Reference:
{reference}
Your job is to act as a professional writer. You need to write a good-quality passage that can support the given \
prediction about the question only based on the information in the provided supporting passages.
Now, let's start. After you write, please write [DONE] to indicate you are done. Do not write a prefix (e.g., \
'Response:') while writing a passage.
Question: {question}
Prediction: {prediction}
Passage:"""
VALID = """\
Question: {question}
Prediction: {prediction}
Passage: {summary}
Does the passage correctly support the prediction? Choices: [True,False].
Answer:"""
BETTER = """\
Question: Given the following passages, determine which one provides a more informative answer to the subsequent \
question.
Passage 1: {summary}
Passage 2: {other}
Target Question: {question}
Your Task:
Identify which passage (Passage 1 or Passage 2) is more relevant and informative to answer the question at hand. \
Choices: [Passage 1,Passage 2].
Answer:"""
_CANDIDATE = re.compile(r"\(\w+\)\s*([^()\n]+)")
_CANDIDATE_TOKENS, _SUMMARY_TOKENS, _JUDGEMENT_TOKENS = 64, 200, 16


class SureParams(RetrievalParams):
    context_topk: int = Field(20, ge=1, le=100, description="Of these, candidates and summaries rest on so many.")


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks the model about one question."""

    question: str
    sampling: Sampling
    tools: Tools

    async def __call__(self, template: str, most: int, passages: Sequence[Passage] = (), **words: str) -> str:
        """What the model writes, in at most so many tokens."""

        def layout(question: str, _: Sequence[Exchange], kept: Sequence[Passage]) -> tuple[Message, ...]:
            safe = {name: inert(text) for name, text in words.items()}
            content = template.format(count=len(kept), reference=_listed(kept), question=inert(question), **safe)
            return (Message("user", content),)

        sampling = replace(self.sampling, max_tokens=min(most, self.sampling.max_tokens), stop=("[DONE]",))
        prompt = await fit(self.tools.engine, self.question, (), passages, sampling.max_tokens, layout)
        return (await complete(prompt.messages, sampling, self.tools)).strip()


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = SureParams.of(query.params)
    evidence = Evidence()
    question = query.standalone
    async with aclosing(look_up([question], query.corpus, params, tools, evidence)) as events:
        async for event in events:
            yield event
    passages, chosen = evidence.found[-1][: params.context_topk], ""
    asked = Asker(question, params.sampling(), tools)
    if passages:
        why = "The model named no candidates as (a) and (b)"
        try:
            yield Step("candidates")
            candidates = parsed(await asked(CANDIDATES, _CANDIDATE_TOKENS, passages))
            if len(candidates) > 1:
                yield Step("summarize", " / ".join(candidates))
                written = await together(*(asked(SUMMARY, _SUMMARY_TOKENS, passages, prediction=c) for c in candidates))
                for candidate, summary in zip(candidates, written, strict=True):
                    yield Thought(f"{candidate}: {summary}\n")
                yield Step("judge")
                scores = await _scores(asked, candidates, written)
                yield Thought(", ".join(f"{c}: {score:g}" for c, score in zip(candidates, scores, strict=True)))
                chosen = candidates[scores.index(max(scores))]
            elif candidates:
                chosen = candidates[0]
        except BadInput:
            why = "The prompts of the method do not fit the model's context beside this question"
        if not chosen:
            yield Degraded("method", f"{why}; it was asked plainly.")
    plainly = answer(query, passages, params.sampling(), tools, evidence)
    async with aclosing(conclude(chosen, evidence) if chosen else plainly) as events:
        async for event in events:
            yield event


def parsed(written: str) -> list[str]:
    """The two candidates in what the model wrote, or as many as there are."""
    named = (text.replace(",", "").strip() for text in _CANDIDATE.findall(written))
    return [text for text in dict.fromkeys(named) if text][:2]


async def _scores(asked: Asker, candidates: Sequence[str], summaries: Sequence[str]) -> list[float]:
    """For each candidate 1 when its summary is valid, and 1 (undecided: 1/2) for each other summary that it beats."""
    pairs = list(permutations(range(len(candidates)), 2))
    judgements = await together(
        *(asked(VALID, _JUDGEMENT_TOKENS, prediction=c, summary=s) for c, s in zip(candidates, summaries, strict=True)),
        *(asked(BETTER, _JUDGEMENT_TOKENS, summary=summaries[one], other=summaries[two]) for one, two in pairs),
    )
    scores = [float("true" in said.lower()) for said in judgements[: len(candidates)]]
    for (one, _), said in zip(pairs, judgements[len(candidates) :], strict=True):
        scores[one] += 1 if "passage 1" in said.lower() else 0 if "passage 2" in said.lower() else 0.5
    return scores


def _listed(passages: Sequence[Passage]) -> str:
    return "".join(
        f"Passage #{n} Title: {quoted(p.title)}\nPassage #{n} Text: {quoted(p.text)}\n\n"
        for n, p in enumerate(passages, 1)
    )


ENTRY = Entry(
    family="branching",
    title="SuRe",
    summary="Names two candidate answers, sums up what speaks for each, and keeps the better founded one.",
    paper="Kim et al. 2024, SuRe: Summarizing Retrievals using Answer Candidates for Open-domain QA of LLMs",
    uses_retrieval=True,
    params=SureParams,
    run=run,
)
