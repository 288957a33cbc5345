"""`ask`: one question, answered like any other: by the server that runs on the data folder, else in this process.

Invariant: both ways show the same events and end in the same record of the answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.backend.errors import BadInput, NotFound, Unavailable
from app.backend.events import Degraded, Done, Event, Queued, Retrieved, Searched, Token, from_json
from app.backend.types import ParamValue
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
    import httpx

    from app.backend.service import Backend, Question
    from app.settings import Settings

OWNER = "command-line"
Answer = Mapping[str, Any]


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
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=VALUE", help="A parameter of the method (`methods NAME`); repeatable."),
    ] = None,
    key: Annotated[str, typer.Option("--key", help="An API key, for a running server that wants one.")] = "",
) -> None:
    """Answer one question on the terminal, by the running server if there is one."""
    if not question.strip():
        raise BadInput("The question is empty: type one first.")
    engine_wanted = engine_flags(engine, engine_url, model)
    settings = read_settings(data, config, profile, {"engine": engine_wanted})
    from app.backend.service import Question
    from app.startup import claimed, running

    asked = Question(question, pipeline, corpus, _params(param or ()))
    if server := running(settings.data):
        if any(engine_wanted.values()):
            raise BadInput(f"The server at {server.url} answers with its own model; leave the engine's flags out.")
        note(f"Asking the server at {server.url}")
        answer = asyncio.run(_by_server(server.url, asked, key))
    else:
        prepare(settings)
        with claimed(settings.data):
            answer = asyncio.run(_here(settings, asked))
    raise typer.Exit(_conclude(question, answer, as_json=as_json))


def _params(given: Sequence[str]) -> dict[str, ParamValue]:
    """Numbers, true and false as such; all else is text. Which names and values are allowed the registry says."""
    params: dict[str, ParamValue] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise BadInput(f"--param takes NAME=VALUE, as in --param context_topk=3, and not {pair[:80]!r}.")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        params[name.strip()] = value if isinstance(value, bool | int | float) else text
    return params


async def _here(settings: Settings, asked: Question) -> Answer:
    from app.backend import create_backend

    backend = create_backend(settings)
    await backend.open()
    try:
        await backend.start()
        await _until_known(backend, asked.corpus or settings.server.default_corpus)
        conversation, show = await backend.create_conversation(OWNER), Shown()
        ticket = await backend.ask(OWNER, conversation.id, asked)
        async with aclosing(backend.events(OWNER, ticket.generation_id)) as events:
            async for recorded in events:
                show(recorded.event)
        return asdict(await backend.generation(OWNER, ticket.generation_id))
    finally:
        await backend.aclose()


async def _until_known(backend: Backend, corpus: str) -> None:
    """The first start builds the demo corpus: wait for it, and for nothing else; the queue waits for the engine."""
    while backend.retriever_health().state == "starting" and corpus not in {c.name for c in backend.corpora()}:
        await asyncio.sleep(0.1)


async def _by_server(url: str, asked: Question, key: str) -> Answer:
    import httpx

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
            conversation, show = await _call(client, "POST", "/api/conversations", {}), Shown()
            body = {
                "question": asked.text,
                "pipeline": asked.pipeline,
                "corpus": asked.corpus,
                "params": dict(asked.params),
            }
            ticket = await _call(client, "POST", f"/api/conversations/{conversation['id']}/ask", body)
            generation = f"/api/generations/{ticket['generation_id']}"
            async with client.stream("GET", f"{generation}/events") as response:
                async for event in _events(response):
                    show(event)
            return await _call(client, "GET", generation)
    except httpx.HTTPError as error:
        raise Unavailable(f"The server at {url} does not answer any more; try again.") from error


async def _call(client: httpx.AsyncClient, method: str, path: str, body: object = None) -> Answer:
    """What the server answers; its refusals are raised as its own."""
    response = await client.request(method, path, json=body)
    answer: Answer = response.json()
    if response.status_code == HTTPStatus.UNAUTHORIZED and "authorization" not in client.headers:
        page = client.base_url.join("/account")
        raise BadInput(f"This server wants to know who asks: add `--key KEY`, made at {page}.")
    if response.is_error:
        kind = BadInput if response.status_code in (404, 422) else Unavailable
        raise kind(answer["error"]["message"])
    return answer


async def _events(response: httpx.Response) -> AsyncIterator[Event]:
    kind = ""
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield from_json(kind, json.loads(value))


class Shown:
    """Shows what happens: the answer on stdout, the rest on stderr, each reason to wait once."""

    def __init__(self) -> None:
        self._waited_for = ""

    def __call__(self, event: Event) -> None:
        match event:
            case Token(text):
                say(text, end="")
            case Done():
                say("")
            case Queued(reason=reason, eta_s=eta_s) if eta_s >= 1 and reason != self._waited_for:
                self._waited_for = reason
                note(f"Waiting: {reason}, about {eta_s:.0f} s.")
            case Searched(text):
                note(f"Searching for: {text}")
            case Retrieved(passages, ms):
                note(f"{len(passages)} passage{'s' if len(passages) != 1 else ''} in {ms:.0f} ms.")
            case Degraded(part, reason):
                note(f"Going on without {part}: {reason}")


def _conclude(question: str, answer: Answer, *, as_json: bool) -> int:
    """The cited passages, or why there is no answer; the exit code."""
    if answer["status"] != "done":
        note(answer["error_message"] or "The answer was stopped.")
        return 2 if answer["error_code"] in (BadInput.code, NotFound.code) else 1
    for n in sorted({citation["n"] for citation in answer["citations"]}):
        say(f"[{n}] {answer['passages'][n - 1]['title']}")
    if as_json:
        emit({"question": question, **answer})
    return 0
