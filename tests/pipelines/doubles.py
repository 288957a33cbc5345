"""A retriever with a shelf of passages, and short ways to run a pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from app.backend.engines.scripted import Item, ScriptedEngine
from app.backend.errors import ColloquyError
from app.backend.events import Done, Event
from app.backend.pipelines.registry import Registry, create_registry
from app.backend.protocols import Tools
from app.backend.types import CorpusInfo, Exchange, Health, ParamValue, Passage, Query, RetrieverName
from app.settings import Settings

BEES = Passage("b", "Bees", "Bees dance to tell where flowers are. They sleep at night.", 0.9, "demo")
MOON = Passage("a", "Moon", "The Moon orbits the Earth. Its tides were first explained by Newton.", 0.8, "demo")
RUST = Passage("c", "Rust", "Iron rusts in wet air. Oil keeps the water away.", 0.7, "demo")
SHELF = (BEES, MOON, RUST)


class Shelf:
    """Fits `protocols.Retriever`; finds the first `top_k` of its passages for everything, or fails with `error`."""

    def __init__(self, passages: Sequence[Passage] = SHELF, error: ColloquyError | None = None) -> None:
        self.searches: list[tuple[str, str, int, RetrieverName | None]] = []
        self._passages = tuple(passages)
        self._error = error

    async def start(self) -> None: ...

    async def search(
        self,
        query: str,
        *,
        corpus: str,
        top_k: int,
        retriever: RetrieverName | None = None,
        cache_salt: str | None = None,
    ) -> tuple[Passage, ...]:
        self.searches.append((query, corpus, top_k, retriever))
        if self._error:
            raise self._error
        return self._passages[:top_k]

    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """Texts with the same first word point the same way."""
        firsts = list(dict.fromkeys(text.split()[0].lower() for text in texts))
        return tuple(tuple(float(first == text.split()[0].lower()) for first in firsts) for text in texts)

    async def rerank(self, query: str, passages: Sequence[Passage]) -> tuple[Passage, ...]:
        """The longest first."""
        return tuple(sorted(passages, key=lambda passage: -len(passage.text)))

    def corpora(self) -> tuple[CorpusInfo, ...]:
        return (CorpusInfo("demo", len(self._passages), "1"),)

    def health(self) -> Health:
        return Health("ready")

    async def aclose(self) -> None: ...


def registry() -> Registry:
    return create_registry(Settings())


async def engine(*script: Sequence[Item], context_tokens: int = 8192) -> ScriptedEngine:
    scripted = ScriptedEngine(script, tokens_per_s=0, context_tokens=context_tokens)
    await scripted.start()
    return scripted


def ask(pipeline: str, question: str, history: Sequence[Exchange] = (), **params: ParamValue) -> Query:
    return Query(question, "demo", tuple(history), registry().validate(pipeline, params))


async def run(pipeline: str, query: Query, scripted: ScriptedEngine, shelf: Shelf | None = None) -> list[Event]:
    tools = Tools(scripted, shelf or Shelf(), "g1")
    return [event async for event in registry().run(pipeline, query, tools)]


def done(events: Sequence[Event]) -> Done:
    *_, last = events
    assert isinstance(last, Done)
    return last


def prompts(scripted: ScriptedEngine) -> list[list[tuple[str, str]]]:
    """The chats that the engine was sent, as (role, content)."""
    return [[(message.role, message.content) for message in call.messages] for call in scripted.calls]
