"""The values that travel between the parts. All are frozen; identity belongs to the storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["system", "user", "assistant"]
RetrieverName = Literal["dense", "bm25", "hybrid"]
Lane = Literal["chat", "compare", "demo", "experiment"]
"""Who waits for an answer: a reader of a chat, a reader of a comparison, nobody."""
ParamValue = str | int | float | bool
Params = Mapping[str, ParamValue]
"""Hyper-parameters of one pipeline run, under FlashRAG's names where FlashRAG has one."""


DEMO = "demo-"
"""How the owner of what a demo's visitors ask begins: all of them together are one owner."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `id` owns what it makes: `guest-...` or `user-...`. An admin may also operate the server."""

    id: str
    role: Literal["guest", "user", "admin"]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat prompt."""

    role: Role
    content: str


Prompt = Sequence[Message] | str
"""Messages are a chat; when the last one is the assistant's, the model goes on with it. A str is continued as it is,
for models with a prompt format of their own; what people wrote in it must be `inert` already."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An earlier question of the conversation with the answer that was chosen for it."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved passage. `score` is higher for better; its scale depends on the retriever."""

    id: str
    title: str
    text: str
    score: float
    corpus: str


Span = tuple[int, int]
"""Half-open range of characters (Python code points): `text[start:end]`."""


@dataclass(frozen=True, slots=True)
class Citation:
    """A place in the answer that rests on a passage.

    `n` counts the passages of the answer from 1. `by` tells who said so: "model" wrote [n] itself, "alignment" was
    found afterwards by similarity. `sentence` is the span of the answer it supports, `spans` the supporting places in
    the passage's text.
    """

    n: int
    passage_id: str
    spans: tuple[Span, ...]
    sentence: Span
    by: Literal["model", "alignment"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw the tokens. `temperature` 0 is greedy; `frequency_penalty` makes words written often less likely.

    `logprobs` of the likeliest tokens are told at each place (at most 20); with `special_tokens` the text shows them.
    With `echo`, for prompts without roles, nothing is written: the tokens told are the prompt's own, each with its
    probability after those before it. The very first follows nothing and is left out.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float = 0.0
    logprobs: int = 0
    special_tokens: bool = False
    echo: bool = False


@dataclass(frozen=True, slots=True)
class Scored:
    """A token with its natural log-probability; `top` are the likeliest tokens at its place, likeliest first."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and engine calls; `cached_tokens` of the `prompt_tokens` came from the engine's prefix cache. `engine_ms`
    adds up the time of all calls, also of those at the same time; engines do not tell it, who meters them does.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    engine_calls: int = 0
    engine_ms: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.completion_tokens + other.completion_tokens,
            self.engine_calls + other.engine_calls,
            round(self.engine_ms + other.engine_ms, 1),
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens - other.prompt_tokens,
            self.cached_tokens - other.cached_tokens,
            self.completion_tokens - other.completion_tokens,
            self.engine_calls - other.engine_calls,
            round(self.engine_ms - other.engine_ms, 1),
        )


@dataclass(frozen=True, slots=True)
class Delta:
    """What an engine adds to its answer. `usage` is the cost so far; only the last one has `finish`.

    `tokens` are there when log-probabilities were asked for. `stopped_by` is the stop string that ended the answer; it
    is not part of the text.
    """

    text: str
    finish: Literal["stop", "length"] | None = None
    usage: Usage | None = None
    tokens: tuple[Scored, ...] = ()
    stopped_by: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """What a pipeline is asked. `history` is oldest first. `params` holds validated values for every parameter.

    Without `rewrite` no call of the engine is spent on making the question a better search; `rewritten` is what came of
    one.
    """

    question: str
    corpus: str
    history: tuple[Exchange, ...] = ()
    params: Params = field(default_factory=dict)
    rewrite: bool = True
    rewritten: str = ""

    @property
    def standalone(self) -> str:
        """The question as it is understood without the conversation, for searching and for prompts without it."""
        return self.rewritten or self.question


HealthState = Literal["starting", "ready", "down", "stopped"]


@dataclass(frozen=True, slots=True)
class Health:
    """State of a part. `detail` is one sentence for people; `expected_s` is how long a start usually takes."""

    state: HealthState
    detail: str = ""
    since: float = 0.0
    expected_s: float | None = None


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """An engine that can be asked, and what it serves. The main one has no name."""

    name: str
    model: str
    health: Health


@dataclass(frozen=True, slots=True)
class CorpusInfo:
    """A corpus that can be searched. `version` changes with every build."""

    name: str
    passages: int
    version: str
    languages: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class ParamInfo:
    """One hyper-parameter of a pipeline, for forms and help."""

    name: str
    type: Literal["int", "float", "bool", "str"]
    default: ParamValue
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """The values it takes, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        kind = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}[self.type]
        return kind if self.minimum is None else f"{kind} from {self.minimum:g} to {self.maximum:g}"


Family = Literal["basic", "query", "passages", "branching", "adaptive", "loop", "reasoning", "own"]
"""What a method works on: how it searches, what it makes of the passages, several answers, whether to search at all,
searching and writing in turns, or a model that was trained to search. "own" ones are from files in the settings."""


@dataclass(frozen=True, slots=True)
class PipelineInfo:
    """A pipeline that can be picked. `paper` is a citation."""

    name: str
    title: str
    summary: str
    paper: str
    uses_retrieval: bool
    params: tuple[ParamInfo, ...]
    family: Family = "basic"
