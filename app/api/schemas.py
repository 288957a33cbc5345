"""What the HTTP API takes and gives, as pydantic models; the OpenAPI document is made of them.

Invariant: each answer is built from a record of the backend by `of`, so that no new field of a record is shown by
accident.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from app.backend import records
from app.backend.types import Citation, CorpusInfo, Params, Passage, Usage


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErrorDetail(BaseModel):
    code: str = Field(description="stable, for programs")
    message: str = Field(description="one sentence, for people")
    retry_after_s: float | None = Field(description="when to try again, where that helps")
    id: str = Field(description="also in the server's log line")


class ErrorBody(BaseModel):
    error: ErrorDetail


def _whole(text: str) -> str:
    """JSON can smuggle in half characters (lone surrogates), which no file and no database takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it contains half a character") from None
    return text


def _title(text: str) -> str:
    if not 1 <= len(text) <= TITLE_CHARS:
        raise PydanticCustomError("sentence", f"A title has 1 to {TITLE_CHARS} characters.")
    return text


TITLE_CHARS = 200
Text = Annotated[str, AfterValidator(_whole)]
Title = Annotated[Text, AfterValidator(_title), Field(json_schema_extra={"minLength": 1, "maxLength": TITLE_CHARS})]


class AskIn(_In):
    """A question. What is left out takes the server's default."""

    question: Text = Field(examples=["What is retrieval-augmented generation?"])
    pipeline: Text = ""
    corpus: Text = ""
    params: dict[Text, Text | int | float | bool] = Field(
        default={}, description="the pipeline's hyper-parameters, see /api/pipelines"
    )
    engine: Text = Field("", description="one of `engines` in the server's settings; empty: its main one")
    parent_id: Text | None = Field(
        None, description="the turn it follows; null: the branch that is shown; empty: a new branch at the root"
    )


class ConversationPatch(_In):
    title: Title | None = None
    pinned: bool | None = None


class BranchIn(_In):
    turn_id: Text = Field(description="the turn whose branch is to be shown")


class TicketOut(BaseModel):
    """The receipt of a question: it is stored, and is answered at `/api/generations/{generation_id}/events`."""

    conversation_id: str
    turn_id: str
    generation_id: str
    position: int = Field(description="place in the queue, from 1")
    eta_s: float = Field(description="expected wait")

    @classmethod
    def of(cls, ticket: records.Ticket) -> TicketOut:
        return cls(
            conversation_id=ticket.conversation_id,
            turn_id=ticket.turn_id,
            generation_id=ticket.generation_id,
            position=ticket.position,
            eta_s=ticket.eta_s,
        )


class ConversationLine(BaseModel):
    """A line of the conversation list. Times are Unix seconds; `snippet` has a search's hit between \\x02 and \\x03."""

    id: str
    title: str
    pinned: bool
    created_at: float
    updated_at: float
    running: bool
    snippet: str
    kind: records.Kind

    @classmethod
    def of(cls, summary: records.ConversationSummary) -> ConversationLine:
        return cls(
            id=summary.id,
            title=summary.title,
            pinned=summary.pinned,
            created_at=summary.created_at,
            updated_at=summary.updated_at,
            running=summary.running,
            snippet=summary.snippet,
            kind=summary.kind,
        )


class ConversationList(BaseModel):
    conversations: list[ConversationLine]


class PassageOut(BaseModel):
    n: int = Field(description="cited as [n]")
    id: str
    title: str
    text: str
    score: float
    corpus: str

    @classmethod
    def of(cls, n: int, passage: Passage) -> PassageOut:
        return cls(
            n=n, id=passage.id, title=passage.title, text=passage.text, score=passage.score, corpus=passage.corpus
        )


class CitationOut(BaseModel):
    """A sentence of the answer that rests on a passage. Spans are half-open ranges of code points."""

    n: int
    passage_id: str
    spans: list[tuple[int, int]]
    sentence: tuple[int, int]
    by: Literal["model", "alignment"]

    @classmethod
    def of(cls, c: Citation) -> CitationOut:
        return cls(n=c.n, passage_id=c.passage_id, spans=list(c.spans), sentence=c.sentence, by=c.by)


class UsageOut(BaseModel):
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    engine_calls: int
    engine_ms: float = 0

    @classmethod
    def of(cls, usage: Usage) -> UsageOut:
        return cls(
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=usage.completion_tokens,
            engine_calls=usage.engine_calls,
            engine_ms=usage.engine_ms,
        )


class GenerationOut(BaseModel):
    """One answer and how it came about."""

    id: str
    turn_id: str
    pipeline: str
    corpus: str
    params: Params
    engine: str = ""
    model: str
    status: records.Status
    created_at: float
    started_at: float | None
    finished_at: float | None
    answer: str
    search_query: str
    error_code: str
    error_message: str
    passages: list[PassageOut]
    citations: list[CitationOut]
    usage: UsageOut
    timings_ms: dict[str, float]

    @classmethod
    def of(cls, g: records.Generation) -> GenerationOut:
        return cls(
            id=g.id,
            turn_id=g.turn_id,
            pipeline=g.pipeline,
            corpus=g.corpus,
            params=g.params,
            engine=g.engine,
            model=g.model,
            status=g.status,
            created_at=g.created_at,
            started_at=g.started_at,
            finished_at=g.finished_at,
            answer=g.answer,
            search_query=g.search_query,
            error_code=g.error_code,
            error_message=g.error_message,
            passages=[PassageOut.of(n, p) for n, p in enumerate(g.passages, 1)],
            citations=[CitationOut.of(c) for c in g.citations],
            usage=UsageOut.of(g.usage),
            timings_ms=dict(g.timings_ms),
        )


class TurnOut(BaseModel):
    """A question with its alternative answers, oldest first; `chosen_id` is the one that is shown and built on."""

    id: str
    parent_id: str | None
    question: str
    created_at: float
    chosen_id: str
    generations: list[GenerationOut]

    @classmethod
    def of(cls, turn: records.Turn) -> TurnOut:
        return cls(
            id=turn.id,
            parent_id=turn.parent_id,
            question=turn.question,
            created_at=turn.created_at,
            chosen_id=turn.chosen_id,
            generations=[GenerationOut.of(g) for g in turn.generations],
        )


class ConversationOut(BaseModel):
    """The whole tree: turns with the same `parent_id` are branches, `leaf_id` ends the one that is shown."""

    id: str
    title: str
    pinned: bool
    created_at: float
    updated_at: float
    leaf_id: str | None
    kind: records.Kind
    turns: list[TurnOut]

    @classmethod
    def of(cls, conversation: records.Conversation) -> ConversationOut:
        return cls(
            id=conversation.id,
            title=conversation.title,
            pinned=conversation.pinned,
            created_at=conversation.created_at,
            updated_at=conversation.updated_at,
            leaf_id=conversation.leaf_id,
            kind=conversation.kind,
            turns=[TurnOut.of(turn) for turn in conversation.turns],
        )


class CorpusOut(BaseModel):
    name: str
    passages: int
    version: str
    languages: list[str]
    description: str

    @classmethod
    def of(cls, info: CorpusInfo) -> CorpusOut:
        return cls(
            name=info.name,
            passages=info.passages,
            version=info.version,
            languages=list(info.languages),
            description=info.description,
        )


class CorpusList(BaseModel):
    corpora: list[CorpusOut]
