"""RQ-RAG (Chan et al. 2024; FlashRAG: `rqrag`): a tree of searches. At each node the question is rewritten, decomposed
and disambiguated; each query is searched for and leads to a node of its own. Every node is answered too, and the answer
whose tokens are the most probable on average counts.

All branches of a depth run together. With the authors' model the actions are its special tokens, with any other one
they are asked for in words.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import zip_longest

from pydantic import Field

from app.backend.events import Degraded, Event, Step, Thought
from app.backend.pipelines.budget import fit
from app.backend.pipelines.modes import defused, mode, native
from app.backend.pipelines.params import Entry, RetrievalParams
from app.backend.pipelines.prompts import ECHO, answer_prompt, block, inert
from app.backend.pipelines.steps import Evidence, Written, conclude, look_up, loops, together, write
from app.backend.protocols import Tools
from app.backend.types import Exchange, Message, Passage, Prompt, Query, Sampling

CHECKPOINT = "rq-rag"
SYSTEM = (
    "Given a question that requires multi-hop reasoning, you need to decompose the question and answer based on the "
    "given context. Please provide a short and concise response."
)
ACTIONS: Mapping[str, str] = {
    "[S_Rewritten_Query]": "Rewrite the question as a search query that finds its answer.",
    "[S_Decomposed_Query]": "Write the simpler question that has to be answered next on the way to the answer.",
    "[S_Disambiguated_Query]": "Write the question so exactly that it can be understood in one way only.",
}
"""What the authors' model is told by, and what any other one is."""
RESPONSE, END = "[A_Response]", "[EOS]"
MARKS = (*ACTIONS, RESPONSE, END, "[R_Evidences]", "[/R_Evidences]", "</s>")
_QUERY_TOKENS = 64


class RqRagParams(RetrievalParams):
    max_depth: int = Field(3, ge=1, le=4, description="Searches in a row; each further one triples the work.")
    compat: bool = Field(
        False,
        description="As FlashRAG: queries are the likeliest ones and answers are drawn at temperature 1. Otherwise "
        "queries are drawn at temperature 1, and answers at the temperature that is set.",
    )


@dataclass(frozen=True, slots=True)
class Turn:
    """A search on a path, and what is read of what it found."""

    action: str
    query: str
    passages: tuple[Passage, ...]


Path = tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes what comes next on a path: a query by an action, or the answer."""

    question: str
    params: RqRagParams
    tools: Tools
    evidence: Evidence
    native: bool

    async def next(self, path: Path, action: str) -> Written:
        def layout(_: str, __: Sequence[Exchange], kept: Sequence[Passage]) -> Prompt:
            return self._native(path, action, kept) if self.native else self._prompted(path, action, kept)

        sampling = self._sampling(action)
        prompt = await fit(self.tools.engine, self.question, (), _read(path), sampling.max_tokens, layout)
        return await write(prompt.messages, sampling, self.tools)

    def _sampling(self, action: str) -> Sampling:
        sampling = self.params.sampling()
        if action == RESPONSE and self.params.compat:
            sampling = replace(sampling, temperature=1.0, top_p=0.9)
        if action != RESPONSE:
            tokens = min(_QUERY_TOKENS, sampling.max_tokens)
            sampling = Sampling(tokens, 0.0 if self.params.compat else 1.0, top_p=0.9)
        if self.native:
            return replace(sampling, stop=(END, "</s>"), logprobs=1, special_tokens=True)
        return replace(sampling, stop=(ECHO,) if action == RESPONSE else ("\n",), logprobs=1)

    def _native(self, path: Path, action: str, kept: Sequence[Passage]) -> str:
        told = f"<|system|>\n{SYSTEM}</s>\n<|user|>\n{defused(self.question, MARKS)}</s>\n<|assistant|>\n"
        readable = set(map(_key, kept))
        for turn in path:
            read = (p for p in turn.passages if _key(p) in readable)
            texts = (f"Title: {defused(p.title, MARKS)}\nText: {defused(p.text, MARKS)}\n" for p in read)
            told += f"{turn.action}{turn.query}{END}[R_Evidences]{''.join(texts)}[/R_Evidences]"
        return told + action

    def _prompted(self, path: Path, action: str, kept: Sequence[Passage]) -> tuple[Message, ...]:
        if action == RESPONSE:
            return answer_prompt(self.question, (), kept, self.evidence.number)
        known = f"{block(kept)}\n\n" if kept else ""
        asked = f"Question: {inert(self.question)}"
        searched = "".join(f"\nSearched already: {inert(turn.query)}" for turn in path)
        system = f"{ACTIONS[action]} Keep its language. Write one line and nothing else."
        return (Message("system", system), Message("user", f"{known}{asked}{searched}"))


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = RqRagParams.of(query.params)
    evidence = Evidence()
    question = query.standalone
    writer = Writer(question, params, tools, evidence, native(tools.engine.model, CHECKPOINT))
    yield mode(writer.native)
    paths: list[Path] = [()]
    best, confidence = "", -1.0
    for depth in range(params.max_depth + 1):
        yield Step("branch", f"depth {depth}, {len(paths)} answers")
        pairs = [(path, RESPONSE) for path in paths]
        if depth < params.max_depth:
            pairs += [(path, action) for path in paths for action in ACTIONS]
        written = await together(*(writer.next(path, action) for path, action in pairs))
        wanted: dict[tuple[Path, str], str] = {}
        for (path, action), words in zip(pairs, written, strict=True):
            text = words.text.strip()
            if action != RESPONSE:
                if (sought := _query(text)) and sought not in {turn.query for turn in path}:
                    wanted.setdefault((path, sought), action)
            elif text and not loops(text):
                yield Thought(f"{(sure := _confidence(words)):.2f}: {text}\n")
                best, confidence = (text, sure) if sure > confidence else (best, confidence)
        if not wanted:
            break
        sought_all = list(dict.fromkeys(sought for _, sought in wanted))
        async with aclosing(look_up(sought_all, query.corpus, params, tools, evidence)) as events:
            async for event in events:
                yield event
        found = dict(zip(sought_all, evidence.found[-len(sought_all) :], strict=True))
        paths = [
            (*path, Turn(action, sought, found[sought][: params.context_topk]))
            for (path, sought), action in wanted.items()
            if found[sought]
        ]
        if not paths:
            break
    if not best:
        yield Degraded("answer", "The model wrote nothing, or only repeated itself.")
    async with aclosing(conclude(best, evidence)) as events:
        async for event in events:
            yield event


def _query(text: str) -> str:
    return " ".join(defused(text, MARKS).split()).strip("\"'“”「」")


def _read(path: Path) -> list[Passage]:
    """The passages of a path, the best of each search first."""
    ranks = zip_longest(*(turn.passages for turn in path))
    return list({_key(passage): passage for rank in ranks for passage in rank if passage}.values())


def _key(passage: Passage) -> tuple[str, str]:
    return passage.corpus, passage.id


def _confidence(written: Written) -> float:
    """The mean probability of the tokens of an answer."""
    chances = [math.exp(token.logprob) for token in written.tokens if token.text.strip() not in MARKS]
    return sum(chances) / len(chances) if chances else 0.0


ENTRY = Entry(
    family="loop",
    title="RQ-RAG",
    summary="Rewrites, decomposes and disambiguates the question in a tree of searches, and keeps the surest answer.",
    paper="Chan et al. 2024, RQ-RAG: Learning to Refine Queries for Retrieval Augmented Generation",
    uses_retrieval=True,
    params=RqRagParams,
    run=run,
)
