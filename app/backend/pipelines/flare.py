"""FLARE (Jiang et al. 2023; FlashRAG: `flare`): the answer grows by sentences. The model looks ahead; when a token of
the next sentence is improbable, its probable tokens are searched for, and the sentence is written again from passages.

The query is what the model wrote with the conversation before its eyes, so that a follow-up needs no rewriting.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

from pydantic import Field

from app.backend.errors import BadInput
from app.backend.events import Degraded, Done, Event, Step, Thought, Token
from app.backend.pipelines.budget import fit
from app.backend.pipelines.citations import cite
from app.backend.pipelines.params import Entry, ReaderParams
from app.backend.pipelines.prompts import ECHO, GIVEN, answer_prompt, flashrag_prompt
from app.backend.pipelines.steps import Evidence, Written, look_up, write
from app.backend.protocols import Tools
from app.backend.text import sentences
from app.backend.types import Exchange, Message, Passage, Query, Sampling, Scored

Ask = Callable[[str, Sequence[Exchange], Sequence[Passage]], tuple[Message, ...]]


class FlareParams(ReaderParams):
    threshold: float = Field(0.2, ge=0, le=1, description="A token at most this probable makes it search.")
    look_ahead_steps: int = Field(64, ge=1, le=1024, description="Tokens the model looks ahead.")
    max_generation_length: int = Field(256, ge=1, le=32_768, description="Tokens the answer may have; see max_tokens.")
    max_iter_num: int = Field(5, ge=1, le=50, description="Sentences the answer may have.")


@dataclass(frozen=True, slots=True)
class Sentence:
    """The next sentence of the answer, with its tokens. After the `last` one the model has no more to say."""

    text: str
    tokens: tuple[Scored, ...]
    last: bool

    @classmethod
    def first_of(cls, written: Written) -> Sentence:
        end = next((end for _, end in sentences(written.text)), len(written.text))
        chars, tokens = 0, []
        for token in written.tokens:
            if chars >= end:
                break
            tokens.append(token)
            chars += len(token.text)
        return cls(written.text[:end], tuple(tokens), written.finish == "stop" and not written.text[end:].strip())

    def query(self, threshold: float) -> str:
        """What to search for: the probable tokens when there is an improbable one, else nothing."""
        sure = [token.text for token in self.tokens if math.exp(token.logprob) > threshold]
        return " ".join("".join(sure).split()) if len(sure) < len(self.tokens) else ""


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = FlareParams.of(query.params)
    evidence = Evidence()
    ask: Ask = partial(answer_prompt, number=evidence.number)
    if params.compat:
        query, ask = replace(query, history=()), partial(flashrag_prompt, unaided=GIVEN)
    room = left = min(params.max_generation_length, params.max_tokens)
    said: list[str] = []
    why = f"The answer was cut at max_iter_num ({params.max_iter_num} sentences)."
    for number in range(1, params.max_iter_num + 1):
        if left <= 0:
            why = f"The answer was cut at {room} tokens (max_generation_length, max_tokens)."
            break
        sampling = replace(params.sampling(), max_tokens=min(params.look_ahead_steps, left), stop=(ECHO,), logprobs=1)
        yield Step("look_ahead", str(number))
        try:
            sentence = await _next_sentence(query, said, (), sampling, tools, ask)
        except BadInput:
            if not said:
                raise
            why = "The answer was cut where it filled the model's context."
            break
        if number == 1 and sentence.text and not sentence.tokens:
            yield Degraded("method", "The engine tells no probabilities, so that nothing is searched for.")
        if sought := sentence.query(params.threshold):
            yield Thought(sentence.text.strip())
            async with aclosing(look_up([sought], query.corpus, params, tools, evidence)) as events:
                async for event in events:
                    yield event
            if passages := evidence.found[-1][: params.context_topk]:
                yield Step("draft", str(number))
                sentence = await _next_sentence(query, said, passages, sampling, tools, ask)
        if not sentence.text.strip():
            why = "" if said else "The model wrote nothing."
            break
        if sentence.text.strip() in map(str.strip, said):
            why = "The model began to repeat itself and was stopped."
            break
        said.append(_joined(said, sentence.text))
        yield Token(said[-1])
        if sentence.last:
            why = ""
            break
        left -= max(1, len(sentence.tokens))
    if why:
        yield Degraded("answer", why)
    text = "".join(said)
    yield Step("cite")
    yield Done(text, await asyncio.to_thread(cite, text, evidence.passages))


async def _next_sentence(
    query: Query, said: Sequence[str], passages: Sequence[Passage], sampling: Sampling, tools: Tools, ask: Ask
) -> Sentence:
    layout = partial(_layout, "".join(said), ask)
    prompt = await fit(tools.engine, query.question, query.history, passages, sampling.max_tokens, layout)
    return Sentence.first_of(await write(prompt.messages, sampling, tools))


def _layout(
    said: str, ask: Ask, question: str, history: Sequence[Exchange], passages: Sequence[Passage]
) -> tuple[Message, ...]:
    asked = ask(question, history, passages)
    return (*asked, Message("assistant", said)) if said else asked


def _joined(said: Sequence[str], sentence: str) -> str:
    """`sentence` as it goes on with the answer; between two English ones there is a space."""
    if not said:
        return sentence.lstrip()
    return f" {sentence}" if said[-1][-1] in ".!?" and not sentence[0].isspace() else sentence


ENTRY = Entry(
    family="loop",
    title="FLARE",
    summary="Writes sentence by sentence, and searches only where the model is unsure of the next one.",
    paper="Jiang et al. 2023, Active Retrieval Augmented Generation",
    uses_retrieval=True,
    params=FlareParams,
    run=run,
    standalone=False,
)
