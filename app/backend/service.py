"""The backend as the doors see it: authorise -> admit -> run -> log -> yield."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from app.backend.events import Recorded
from app.backend.records import Conversation, ConversationSummary, Generation, Ticket
from app.backend.types import CorpusInfo, Health, ParamValue


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it comes from a door. Empty `pipeline` and `corpus` take the defaults.

    `parent_id` is the turn it follows: None appends to the branch that is shown, "" starts a new branch at the root.
    """

    text: str
    pipeline: str = ""
    corpus: str = ""
    params: Mapping[str, ParamValue] = field(default_factory=dict)
    parent_id: str | None = None


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


@dataclass(frozen=True, slots=True)
class PipelineInfo:
    """A pipeline that can be picked. `paper` is a citation."""

    name: str
    title: str
    summary: str
    paper: str
    uses_retrieval: bool
    params: tuple[ParamInfo, ...]


class Backend:
    """Every call names its `owner` first; what belongs to another owner is NotFound."""

    async def start(self) -> None: ...
    async def aclose(self) -> None: ...

    def engine_health(self) -> Health: ...
    def retriever_health(self) -> Health: ...
    def engine_model(self) -> str: ...
    def pipelines(self) -> tuple[PipelineInfo, ...]: ...
    def corpora(self) -> tuple[CorpusInfo, ...]: ...

    async def create_conversation(self, owner: str) -> ConversationSummary: ...
    async def conversations(self, owner: str, q: str = "", limit: int = 200) -> tuple[ConversationSummary, ...]: ...
    async def conversation(self, owner: str, conversation_id: str) -> Conversation: ...
    async def update_conversation(
        self, owner: str, conversation_id: str, *, title: str | None = None, pinned: bool | None = None
    ) -> None: ...
    async def delete_conversation(self, owner: str, conversation_id: str) -> None: ...
    async def restore_conversation(self, owner: str, conversation_id: str) -> None: ...
    async def show_branch(self, owner: str, conversation_id: str, turn_id: str) -> None: ...
    async def choose_answer(self, owner: str, generation_id: str) -> None: ...

    async def ask(self, owner: str, conversation_id: str, question: Question) -> Ticket: ...
    async def regenerate(self, owner: str, generation_id: str) -> Ticket: ...
    async def stop(self, owner: str, generation_id: str) -> None: ...
    async def generation(self, owner: str, generation_id: str) -> Generation: ...
    def events(self, owner: str, generation_id: str, after: int = 0) -> AsyncGenerator[Recorded, None]: ...
