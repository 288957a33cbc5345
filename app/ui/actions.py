"""What the page asks of the backend: one small function for each thing a person can do.

Each takes the owner that the cookie proved and untrusted arguments, and returns the regions of the page that changed.
Invariant: no error leaves here as an exception; the page always gets something it can show.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from hashlib import blake2s
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.backend.errors import BadInput, ColloquyError, Foreign, NotFound
from app.backend.records import LIVE, Conversation
from app.backend.service import Backend, Question
from app.ui import i18n, tuning
from app.ui.i18n import Lang
from app.ui.render import Renderer, drawn
from app.ui.view import fold_all

log = structlog.get_logger(__name__)
Reply = dict[str, object]
_Name = Annotated[str, Field(max_length=100)]
_Value = bool | int | float | Annotated[str, Field(max_length=2_000)]
ID = Field("", max_length=64, pattern=r"^[A-Za-z0-9_-]*$")


class Request(BaseModel):
    """One call of the page. Every call names all it means; nothing is remembered between calls."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    do: Literal[
        "open",
        "list",
        "ask",
        "again",
        "stop",
        "choose",
        "branch",
        "rename",
        "pin",
        "delete",
        "restore",
        "engine",
        "trace",
        "tune",
    ]
    lang: Lang = "en"
    c: str = ID
    g: str = ID
    t: str = ID
    q: str = Field("", max_length=200)
    text: str = Field("", max_length=1_500_000)
    parent: str | None = Field(None, max_length=64)
    pipeline: str = Field("", max_length=100)
    corpus: str = Field("", max_length=200)
    pinned: bool = False
    params: dict[_Name, _Value] = Field({}, max_length=100)
    engine: _Name = ""
    address: str = Field("", max_length=0)  # ours to say


class Actions:
    """`examples` are questions to begin with, for each language."""

    def __init__(self, backend: Backend, renderer: Renderer, examples: Mapping[Lang, tuple[str, ...]]) -> None:
        self._backend = backend
        self._renderer = renderer
        self._examples = examples
        self._table: Mapping[str, Callable[[str, Request], Awaitable[Reply]]] = {
            "open": self._open,
            "list": self._list,
            "ask": self._ask,
            "again": self._again,
            "stop": self._stop,
            "choose": self._choose,
            "branch": self._branch,
            "rename": self._rename,
            "pin": self._pin,
            "delete": self._delete,
            "restore": self._restore,
            "engine": self._engine,
            "trace": self._trace,
            "tune": self._tune,
        }

    async def __call__(self, owner: str, data: object, address: str = "") -> Reply:
        """Do what the page asks for `owner`, who calls from `address`."""
        lang: Lang = "en"
        try:
            request = Request.model_validate(data)
            lang = request.lang
        except ValidationError:
            return _refusal(BadInput("The page sent something that is not understood; reload it."), lang, owner)
        doing = self._table[request.do](owner, request.model_copy(update={"address": address}))
        return await answered(doing, owner, lang)

    async def _open(self, owner: str, request: Request) -> Reply:
        reply = await self._list(owner, request)
        reply |= await self._engine(owner, request)
        reply["who"] = blake2s(owner.encode(), digest_size=8).hexdigest()
        reply["corpora"] = [{"name": c.name, "text": c.description} for c in self._backend.corpora()]
        if request.c:
            try:
                opened = await self._backend.conversation(owner, request.c)
                if opened.kind == "comparison":
                    return {"goto": f"/compare?id={opened.id}"}
                return reply | await self._shown(opened, request.lang)
            except NotFound as error:
                reply |= _refusal(error, request.lang, owner, "new")
        return reply | self._home(request.lang)

    async def _list(self, owner: str, request: Request) -> Reply:
        q = request.q.strip()
        found = await self._backend.conversations(owner, q)
        return {"history": self._renderer.history(found, q, request.c, request.lang)}

    async def _ask(self, owner: str, request: Request) -> Reply:
        conversation = request.c or (await self._backend.create_conversation(owner, request.address)).id
        question = Question(
            request.text,
            request.pipeline,
            request.corpus,
            request.params,
            request.parent,
            address=request.address,
            engine=request.engine,
        )
        try:
            ticket = await self._backend.ask(owner, conversation, question)
        except ColloquyError:
            if not request.c:
                await self._backend.delete_conversation(owner, conversation)
            raise
        return await self._after(owner, ticket.conversation_id, request) | {"generation": ticket.generation_id}

    async def _again(self, owner: str, request: Request) -> Reply:
        ticket = await self._backend.regenerate(owner, request.g, request.address)
        return await self._after(owner, ticket.conversation_id, request) | {"generation": ticket.generation_id}

    async def _stop(self, owner: str, request: Request) -> Reply:
        await self._backend.stop(owner, request.g)
        return {}

    async def _choose(self, owner: str, request: Request) -> Reply:
        await self._backend.choose_answer(owner, request.g)
        return await self._thread(owner, request)

    async def _branch(self, owner: str, request: Request) -> Reply:
        await self._backend.show_branch(owner, request.c, request.t)
        return await self._thread(owner, request)

    async def _rename(self, owner: str, request: Request) -> Reply:
        title = " ".join(request.text.split())[:200]
        if title:
            await self._backend.update_conversation(owner, request.t, title=title)
        return await self._list(owner, request)

    async def _pin(self, owner: str, request: Request) -> Reply:
        await self._backend.update_conversation(owner, request.t, pinned=request.pinned)
        return await self._list(owner, request)

    async def _delete(self, owner: str, request: Request) -> Reply:
        await self._backend.delete_conversation(owner, request.t)
        reply = await self._list(owner, request)
        return reply | self._home(request.lang) if request.t == request.c else reply

    async def _restore(self, owner: str, request: Request) -> Reply:
        await self._backend.restore_conversation(owner, request.t)
        return await self._list(owner, request)

    async def _engine(self, owner: str, request: Request) -> Reply:
        backend = self._backend
        if backend.operations.draining:
            line, hint = (i18n.text(request.lang, key) for key in ("engine.draining", "error.draining"))
            return {"engine": {"state": "draining", "text": line, "hint": hint}}
        chip = self._renderer.engine(
            backend.engine_health(), backend.retriever_health(), backend.engine_model(), request.lang
        )
        return {"engine": chip}

    async def _trace(self, owner: str, request: Request) -> Reply:
        """The steps of a finished answer, from its log: the page asks for them when they are unfolded."""
        generation = await self._backend.generation(owner, request.g)
        if generation.status in LIVE or not generation.pipeline:  # a blind comparison hides it
            return {"steps": ""}
        async with aclosing(self._backend.events(owner, request.g)) as log:
            recorded = [r async for r in log]
        return {"steps": self._renderer.steps(fold_all(recorded), request.lang)}

    async def _tune(self, owner: str, request: Request) -> Reply:
        """The form of a pipeline's settings with the values given, what is wrong with them, and which differ."""
        self._backend.validate(request.pipeline, {})  # an unknown pipeline is refused
        info = self._renderer.pipelines[request.pipeline]
        found = tuning.checked(info, request.params, self._backend.validate, request.lang)
        rows = tuning.controls(info, {**request.params, **found.changed}, found.wrong, request.lang)
        form = self._renderer.page("tune", request.lang, info=info, controls=rows)
        return {"form": form, "wrong": found.wrong, "changed": found.changed}

    async def _after(self, owner: str, conversation_id: str, request: Request) -> Reply:
        shown = await self._shown(await self._backend.conversation(owner, conversation_id), request.lang)
        return shown | await self._list(owner, request.model_copy(update={"c": conversation_id}))

    async def _thread(self, owner: str, request: Request) -> Reply:
        return await self._shown(await self._backend.conversation(owner, request.c), request.lang)

    async def _shown(self, conversation: Conversation, lang: Lang) -> Reply:
        path = conversation.path()
        if not path:
            return self._home(lang) | {"c": conversation.id, "title": conversation.title}
        chosen = path[-1].chosen
        chars = sum(len(turn.chosen.answer) for turn in path)
        return {
            "c": conversation.id,
            "title": conversation.title,
            "thread": await drawn(chars, self._renderer.thread, conversation, lang),
            "running": chosen.id if chosen.status in LIVE else "",
            "pipeline": chosen.pipeline,
            "corpus": chosen.corpus,
            "by": chosen.engine,
        }

    def _home(self, lang: Lang) -> Reply:
        starting = self._backend.engine_health().state == "starting"
        home = self._renderer.page("home", lang, examples=self._examples.get(lang, ()), starting=starting)
        return {"c": "", "title": "", "thread": home, "running": ""}


async def answered(doing: Awaitable[Reply], owner: str, lang: Lang) -> Reply:
    """What `doing` replies, or the error in its place."""
    try:
        return await doing
    except ColloquyError as error:
        return _refusal(error, lang, owner)
    except Exception:
        error_id = secrets.token_hex(6)
        log.exception("action failed", error_id=error_id, owner=owner)
        return {"error": {"code": "error", "text": f"{i18n.text(lang, 'error.error')} ({error_id})", "id": error_id}}


def _refusal(error: ColloquyError, lang: Lang, owner: str, action: str = "") -> Reply:
    """What the page shows, with an id that finds its line in the log; said when the fault may be ours."""
    error_id = secrets.token_hex(6)
    if isinstance(error, Foreign):
        log.warning("foreign id", error_id=error_id, owner=owner)
    else:
        log.info("request refused", error_id=error_id, code=error.code, status=error.status, owner=owner)
    text = i18n.error(lang, error.code, error.message)
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        text = f"{text} ({error_id})"
    told = {"code": error.code, "text": text, "retry_s": error.retry_after_s or 0, "action": action, "id": error_id}
    return {"error": told}


def load_examples(path: Path, speaks: tuple[str, ...] = (), limit: int = 4) -> Mapping[Lang, tuple[str, ...]]:
    """The demo questions marked as examples, by language; none when the file is not there.

    A model that `speaks` only some languages is given the easy ones, filled up with those in a language of its own.
    """
    found: dict[str, list[str]] = {lang: [] for lang in i18n.LANGUAGES}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            question = json.loads(line) if line.strip() else {}
            metadata = question.get("metadata", {})
            fits = metadata.get("example") and (metadata.get("easy") or not speaks)
            if fits and metadata.get("lang") in found:
                found[metadata["lang"]].append(question["question"])
    spoken = [question for lang in speaks for question in found.get(lang, ())]
    return {
        lang: tuple(found[lang] + (spoken if speaks and lang not in speaks else []))[:limit] for lang in i18n.LANGUAGES
    }
