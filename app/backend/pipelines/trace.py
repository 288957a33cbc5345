"""TRACE (Fang et al. 2024; FlashRAG: `trace`): the model turns the passages into knowledge triples, chains of triples
that lead to the answer are built by its choices, and it answers from the best chains or from the passages they are of.

Each hop offers every open chain the triples closest to it; the choices of all chains are weighed at once. The
model's turns are begun for it, with the title of the first triple and with the words before the letter: a small model
would not find the format. The triples of the best chains
stand under the passage they are from, so that the answer can cite it.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from pydantic import Field

from app.backend.errors import BadInput
from app.backend.events import Event, Step, Thought
from app.backend.pipelines.params import Entry
from app.backend.pipelines.prompts import inert, quoted
from app.backend.pipelines.recomp_extractive import closest
from app.backend.pipelines.refine import Refined, RefinerParams, refining
from app.backend.pipelines.steps import choose, complete, together
from app.backend.pipelines.trace_prompts import CHAINED, CHOOSE, ENOUGH, EXTRACT, EXTRACTED, NEXT, SHOWN, Hop
from app.backend.protocols import Tools
from app.backend.text import words
from app.backend.types import Message, Passage, Query, Sampling

_TRIPLE = re.compile(r"<([^<>]*)>")
_NO_MARKS = {ord(mark): " " for mark in "<>;"}
_WRITING = Sampling(512, stop=("\n\n",))


class TraceParams(RefinerParams):
    num_examplars: int = Field(3, ge=0, le=3, description="Demonstrations in the prompts.")
    max_chain_length: int = Field(4, ge=1, le=8, description="Triples a chain may have.")
    topk_triple_select: int = Field(5, ge=1, le=19, description="Triples a chain can choose its next from.")
    min_triple_prob: float = Field(1e-4, ge=0, le=1, description="Choices less probable than this are not followed.")
    num_beams: int = Field(5, ge=1, le=20, description="Choices that are followed at each hop of a chain.")
    num_chains: int = Field(20, ge=1, le=50, description="Chains that are kept after each hop.")
    n_context: int = Field(5, ge=1, le=50, description="The best chains, from which the answer is made.")
    context_type: Literal["triples", "triple-doc"] = Field(
        "triples", description="The model reads the triples of the chains, or the passages that they are from."
    )


@dataclass(frozen=True, slots=True)
class Triple:
    """`text` is `<head; relation; tail>`; `source` the place of its passage."""

    text: str
    source: int

    @property
    def tail(self) -> str:
        return self.text.strip("<>").rpartition(";")[2]

    @property
    def plain(self) -> str:
        return " ".join(part.strip() for part in self.text.strip("<>").split(";", 2))


@dataclass(frozen=True, slots=True)
class Chain:
    """Places of triples, how probable the choices were together, and whether it is enough for an answer."""

    links: tuple[int, ...] = ()
    score: float = 1.0
    finished: bool = False


def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = TraceParams.of(query.params)
    return refining(query, params, tools, partial(_refine, params))


async def _refine(
    params: TraceParams, question: str, passages: tuple[Passage, ...], tools: Tools
) -> AsyncGenerator[Event | Refined, None]:
    yield Step("triples")
    written = await together(*(complete(extraction(p, params.num_examplars), _WRITING, tools) for p in passages))
    texts = [begin(passage) + text for passage, text in zip(passages, written, strict=True)]
    triples = await asyncio.to_thread(grounded, texts, passages)
    if not triples:
        raise BadInput("The model found no knowledge triples in the passages.")
    yield Thought("\n".join(triple.text for triple in triples))
    vectors = await tools.retriever.embed([triple.text for triple in triples])
    chains = [Chain()]
    for hop in range(params.max_chain_length):
        chosen = [chain for chain in chains if not chain.finished]
        if not chosen:
            break
        yield Step("chain", str(hop + 1))
        asked = [f"knowledge triples: {' '.join(_texts(c, triples))}\nquestion: {question}" for c in chosen]
        places = await tools.retriever.embed(asked)
        offers = [await asyncio.to_thread(_offer, c, v, vectors, params) for c, v in zip(chosen, places, strict=True)]
        longer = await together(
            *(_extended(c, offer, triples, question, params, tools) for c, offer in zip(chosen, offers, strict=True))
        )
        chains = [chain for chain in chains if chain.finished] + [chain for several in longer for chain in several]
        chains = sorted(chains, key=lambda chain: -chain.score)[: params.num_chains]
    best = [chain for chain in chains if chain.links][: params.n_context]
    if not best:
        raise BadInput("The model chose no knowledge triples.")
    yield Thought("\n".join(f"{chain.score:.3f} {' '.join(_texts(chain, triples))}" for chain in best))
    yield Refined(read(best, triples, passages, params.context_type), in_order=params.context_type == "triple-doc")


def extraction(passage: Passage, examples: int) -> tuple[Message, ...]:
    shown = "\n\n".join(
        f"Title: {example.title}\nText: {example.text}\nKnowledge Triples: {example.triples}"
        for example in EXTRACTED[:examples]
    )
    asked = f"Title: {' '.join(quoted(passage.title).split())}\nText: {quoted(passage.text)}\nKnowledge Triples: "
    return (Message("system", EXTRACT + shown), Message("user", asked), Message("assistant", begin(passage)))


def begin(passage: Passage) -> str:
    """The first triple's beginning, which is the title whatever the model thinks of."""
    title = " ".join(quoted(passage.title).translate(_NO_MARKS).split())
    return f"<{title};" if title else "<"


def parsed(written: str, source: int) -> list[Triple]:
    """The well-formed triples of a text, each once."""
    split = ([" ".join(part.split()) for part in inside.rsplit(";", maxsplit=2)] for inside in _TRIPLE.findall(written))
    texts = dict.fromkeys(f"<{'; '.join(parts)}>" for parts in split if len(parts) == 3 and all(parts))
    return [Triple(text, source) for text in texts]


def grounded(written: Sequence[str], passages: Sequence[Passage]) -> list[Triple]:
    """The triples whose tail has a word of their passage: it should be a phrase of it, and small models invent."""
    found: list[Triple] = []
    for source, (text, passage) in enumerate(zip(written, passages, strict=True)):
        known = set(words(f"{passage.title} {passage.text}"))
        found += [triple for triple in parsed(text, source) if known.intersection(words(triple.tail))]
    return found


def choice(hop: int, question: str, known: Sequence[str], offered: Sequence[str], examples: int) -> tuple[Message, ...]:
    """The prompt for a chain's next triple; the model goes on with a letter."""
    shown = [
        f"coherent reasoning path: {', '.join(example.hops[-1].known)}\nquestion: {example.question}\n"
        f"The {hop}-th triple in the reasoning path is selected as:\n"
        f"{_situation(example.question, example.hops[hop - 1])}\n{NEXT}{example.hops[hop - 1].letter}\n"
        for example in CHAINED
        if len(example.hops) >= hop
    ][:examples]
    system = CHOOSE + (SHOWN.format(hop=hop) + "\n\n".join(shown) if shown else "\n\n")
    asked = _situation(inert(question), Hop(tuple(known), tuple(offered), ""))
    asked = f"The {hop}-th triple in the reasoning path is selected as:\n{asked}"
    return (Message("system", system), Message("user", asked), Message("assistant", NEXT))


def _situation(question: str, hop: Hop) -> str:
    options = [ENOUGH, *(f"{_letter(place)}. {text}" for place, text in enumerate(hop.candidates))]
    return (
        f"existing knowledge triples: {', '.join(hop.known)}\nquestion: {question}\n"
        "candidate knowledge triples:\n" + "\n".join(options)
    )


def _letter(place: int) -> str:
    return chr(ord("B") + place)


def _offer(chain: Chain, vector: Sequence[float], vectors: Sequence[Sequence[float]], params: TraceParams) -> list[int]:
    """The triples closest to a chain that are not in it, closest first."""
    near = closest(vector, vectors, params.topk_triple_select + len(chain.links))
    return [place for place in near if place not in chain.links][: params.topk_triple_select]


async def _extended(
    chain: Chain, offer: Sequence[int], triples: Sequence[Triple], question: str, params: TraceParams, tools: Tools
) -> list[Chain]:
    """The chain with each of the likeliest next triples; as it is and finished when the model chooses none."""
    known = [inert(text) for text in _texts(chain, triples)]
    offered = [inert(triples[place].text) for place in offer]
    prompt = choice(len(chain.links) + 1, question, known, offered, params.num_examplars)
    letters = ["A", *map(_letter, range(len(offer)))]
    weights = await choose(prompt, letters, tools)
    likely = sorted(letters, key=lambda letter: -weights[letter])[: params.num_beams]
    longer = [
        Chain(chain.links, chain.score * weights[letter], finished=True)
        if letter == "A"
        else Chain((*chain.links, offer[letters.index(letter) - 1]), chain.score * weights[letter])
        for letter in likely
        if weights[letter] > 0 and weights[letter] >= params.min_triple_prob
    ]
    return longer or [replace(chain, finished=True)]


def read(
    chains: Sequence[Chain], triples: Sequence[Triple], passages: Sequence[Passage], context: str
) -> tuple[Passage, ...]:
    """What the model reads of the best chains."""
    links = [place for chain in chains for place in chain.links]
    if context == "triple-doc":  # the passage with most links first
        return tuple(passages[source] for source, _ in Counter(triples[place].source for place in links).most_common())
    texts: dict[int, list[str]] = {}
    for place in dict.fromkeys(links):
        texts.setdefault(triples[place].source, []).append(triples[place].plain)
    return tuple(replace(passages[source], text="\n".join(lines)) for source, lines in texts.items())


def _texts(chain: Chain, triples: Sequence[Triple]) -> list[str]:
    return [triples[place].text for place in chain.links]


ENTRY = Entry(
    family="passages",
    title="TRACE",
    summary="The passages become knowledge triples; chains of them that lead to the answer are read.",
    paper="Fang et al. 2024, TRACE the Evidence: Constructing Knowledge-Grounded Reasoning Chains for "
    "Retrieval-Augmented Generation",
    uses_retrieval=True,
    params=TraceParams,
    run=run,
)
