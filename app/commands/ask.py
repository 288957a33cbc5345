"""`ask`: one question, answered in this process and stored like any other."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from app.backend.errors import BadInput, NotFound
from app.backend.events import Degraded, Done, Event, Queued, Retrieved, Searched, Token
from app.commands.common import (
    Config,
    Data,
    Engine,
    EngineUrl,
    Json,
    Model,
    Profile,
    emit,
    engine_flags,
    note,
    prepare,
    read_settings,
    say,
)

if TYPE_CHECKING:
    from app.backend.service import Backend
    from app.settings import Settings

OWNER = "command-line"


def ask(
    question: Annotated[str, typer.Argument(help="The question.")],
    pipeline: Annotated[str, typer.Option("--pipeline", help="RAG method (default: naive).")] = "",
    corpus: Annotated[str, typer.Option("--corpus", help="Where to search (default: demo).")] = "",
    data: Data = None,
    config: Config = None,
    profile: Profile = None,
    as_json: Json = False,
    engine: Engine = None,
    engine_url: EngineUrl = None,
    model: Model = None,
) -> None:
    """Answer one question on the terminal."""
    if not question.strip():
        raise BadInput("The question is empty: type one first.")
    settings = read_settings(data, config, profile, {"engine": engine_flags(engine, engine_url, model)})
    from app.startup import claimed

    prepare(settings)
    with claimed(settings.data):
        raise typer.Exit(asyncio.run(_answer(settings, question, pipeline, corpus, as_json=as_json)))


async def _answer(settings: Settings, text: str, pipeline: str, corpus: str, *, as_json: bool) -> int:
    from app.backend import create_backend
    from app.backend.service import Question

    backend = create_backend(settings)
    await backend.open()
    try:
        await backend.start()
        await _until_known(backend, corpus or settings.server.default_corpus)
        conversation = await backend.create_conversation(OWNER)
        ticket = await backend.ask(OWNER, conversation.id, Question(text, pipeline, corpus))
        async with aclosing(backend.events(OWNER, ticket.generation_id)) as events:
            async for recorded in events:
                _show(recorded.event)
        generation = await backend.generation(OWNER, ticket.generation_id)
    finally:
        await backend.aclose()
    if generation.status != "done":
        note(generation.error_message or "The answer was stopped.")
        return 2 if generation.error_code in (BadInput.code, NotFound.code) else 1
    for n in sorted({citation.n for citation in generation.citations}):
        say(f"[{n}] {generation.passages[n - 1].title}")
    if as_json:
        emit({"question": text, **asdict(generation)})
    return 0


async def _until_known(backend: Backend, corpus: str) -> None:
    """The first start builds the demo corpus: wait for it, and for nothing else; the queue waits for the engine."""
    while backend.retriever_health().state == "starting" and corpus not in {c.name for c in backend.corpora()}:
        await asyncio.sleep(0.1)


def _show(event: Event) -> None:
    match event:
        case Token(text):
            say(text, end="")
        case Done():
            say("")
        case Queued(reason=reason, eta_s=eta_s) if eta_s >= 1:
            note(f"Waiting: {reason}, about {eta_s:.0f} s.")
        case Searched(text):
            note(f"Searching for: {text}")
        case Retrieved(passages, ms):
            note(f"{len(passages)} passages in {ms:.0f} ms.")
        case Degraded(part, reason):
            note(f"Going on without {part}: {reason}")
