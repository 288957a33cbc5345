"""The operators' page: one HTML page of our own, whose regions are drawn here and fetched again while they are watched.

Invariant: the policy lets only admins to these addresses; what they do goes through /api/admin, and the two looks that
are taken here (a search, an opened conversation) through `Operations`, which puts them into the audit first.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Literal, get_args

from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup
from starlette.requests import cookie_parser

from app.backend.operations.service import Now
from app.backend.service import Backend
from app.backend.types import EngineInfo, Health, Lane, Principal
from app.identity import Identity
from app.settings import ServerSettings
from app.ui import figures, i18n, markup
from app.ui.i18n import Lang
from app.ui.render import Renderer, drawn
from app.ui.shell import COOKIE

VIEWS = ("now", "people", "conversations", "storage", "audit")
SPAN_S = 600.0
AUDIT_LINES = 100
LOW_DISK = 0.05
LEVELS = ("", "level.passages", "level.rewriting", "level.short", "level.refuse")
Part = Literal["now", "people", "found", "opened", "storage", "audit"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the page asks a region for."""

    operator: Principal
    lang: Lang
    q: str = ""
    owner: str = ""
    c: str = ""
    before: int | None = None


class Admin:
    """Draws the page and its regions. Guests who can no longer come in (`guests` is False) are among the people
    only while something of theirs runs or is behind a link.
    """

    def __init__(self, backend: Backend, renderer: Renderer, guests: bool) -> None:
        self._guests = guests
        self._backend = backend
        self._operations = backend.operations
        self._renderer = renderer
        self._palette = figures.Palette()
        self._parts: Mapping[str, Callable[[Asked], Awaitable[str]]] = {
            "now": self._now,
            "people": self._people,
            "found": self._found,
            "opened": self._opened,
            "storage": self._storage,
            "audit": self._audit,
        }

    async def page(self, asked: Asked, version: str) -> str:
        first = Markup(await self._now(asked))
        return self._renderer.page("admin", asked.lang, views=VIEWS, first=first, version=version)

    async def part(self, name: Part, asked: Asked) -> str:
        return await self._parts[name](asked)

    def _draw(self, name: str, asked: Asked, **values: object) -> str:
        return self._renderer.page(
            f"admin_{name}",
            asked.lang,
            hue=self._palette,
            who=partial(figures.who, lang=asked.lang),
            name_of=self._operations.name_of,
            size=figures.size,
            age=partial(figures.age, lang=asked.lang),
            clock=figures.clock,
            when=_when,
            snippet=markup.snippet,
            **values,
        )

    async def _now(self, asked: Asked) -> str:
        now, backend = self._operations.now(), self._backend
        queue = now.queue
        engine = self._renderer.engine(
            backend.engine_health(), backend.retriever_health(), backend.engine_model(), asked.lang
        )
        return self._draw(
            "now",
            asked,
            now=now,
            queue=queue,
            answers=now.answers,
            running=sum(queue.running.values()),
            waiting=sum(queue.waiting.values()),
            last=max((a.standing.eta_s for a in now.answers if a.standing.state == "waiting"), default=0.0),
            refused=sum(queue.refused.values()),
            refusals=", ".join(f"{reason}: {n}" for reason, n in sorted(queue.refused.items())),
            level=LEVELS[min(queue.level, len(LEVELS) - 1)],
            engine=engine,
            further=[(e.name, self._further(e, asked.lang)) for e in backend.engines() if e.name],
            spark=figures.spark(now.history, now.at, SPAN_S),
            box=(figures.WIDTH, figures.HEIGHT),
            lanes=get_args(Lane),
            owners=_owners(now),
            about=partial(i18n.about, asked.lang),
        )

    def _further(self, engine: EngineInfo, lang: Lang) -> dict[str, str]:
        """The chip of an engine beside the main one, which nothing else waits for."""
        return self._renderer.engine(engine.health, Health("ready"), engine.model, lang)

    async def _people(self, asked: Asked) -> str:
        listed = await self._operations.people.listing()
        people = [
            (p, p.quota.model_dump())
            for p in listed
            if self._guests or p.role != "guest" or p.running or p.waiting or p.links
        ]
        return self._draw("people", asked, people=people, me=asked.operator.id)

    async def _found(self, asked: Asked) -> str:
        found = await self._operations.search(asked.operator, asked.q, asked.owner)
        return self._draw("found", asked, found=found, q=asked.q, owner=asked.owner, current=asked.c)

    async def _opened(self, asked: Asked) -> str:
        opened = await self._operations.open(asked.operator, asked.c)
        path = opened.conversation.path()
        chars = sum(len(turn.chosen.answer) for turn in path)

        def draw() -> str:
            turns = [(turn, markup.answer(turn.chosen.answer, (), (), asked.lang)) for turn in path]
            return self._draw("opened", asked, owner=opened.owner, conversation=opened.conversation, turns=turns)

        return await drawn(chars, draw)

    async def _storage(self, asked: Asked) -> str:
        storage = await self._operations.storage()
        ours = storage.database + storage.wal + storage.backups
        return self._draw(
            "storage",
            asked,
            s=storage,
            now=time.time(),
            ours=ours,
            other=storage.disk - storage.free - ours,
            share=lambda count: f"{100 * count / storage.disk:.2f}",
            part=lambda count: f"{100 * count / ours:.2f}",
            low=storage.free < LOW_DISK * storage.disk,
        )

    async def _audit(self, asked: Asked) -> str:
        lines = await self._operations.audit(asked.before, AUDIT_LINES)
        deeds = {
            line.id: "deed.list" if line.deed == "search" and not line.detail else f"deed.{line.deed}" for line in lines
        }
        more = lines[-1].id if len(lines) == AUDIT_LINES else 0
        return self._draw("audit", asked, lines=lines, deeds=deeds, more=more)


def add(
    app: FastAPI, backend: Backend, renderer: Renderer, identity: Identity, version: str, server: ServerSettings
) -> None:
    """Add the page's routes."""
    language = server.language
    admin = Admin(backend, renderer, server.mode == "guest" or server.allow_guests)

    @app.get("/admin", include_in_schema=False)
    async def page(request: Request) -> HTMLResponse:
        chosen = cookie_parser(request.headers.get("cookie", "")).get(COOKIE)
        lang = i18n.pick(chosen, request.headers.get("accept-language", ""), language)
        html = await admin.page(Asked(identity.principal_of(request), lang), version)
        return HTMLResponse(html, headers={"Cache-Control": "no-store"})

    @app.get("/ui/admin/{part}", include_in_schema=False)
    async def region(
        request: Request,
        part: Part,
        lang: Annotated[Lang, Query()] = "en",
        q: Annotated[str, Query(max_length=200)] = "",
        owner: Annotated[str, Query(max_length=64)] = "",
        c: Annotated[str, Query(max_length=64)] = "",
        before: Annotated[int | None, Query(ge=1)] = None,
    ) -> HTMLResponse:
        asked = Asked(identity.principal_of(request), lang, q, owner, c, before)
        return HTMLResponse(await admin.part(part, asked), headers={"Cache-Control": "no-store"})


def _owners(now: Now) -> list[tuple[str, str, int]]:
    """Who has something in the queue, most first: owner, name, how many."""
    names = {answer.standing.owner: answer.name for answer in now.answers}
    counted = Counter(answer.standing.owner for answer in now.answers)
    return [(owner, names[owner], n) for owner, n in counted.most_common()]


def _when(at: float, style: Literal["time", "both"]) -> Markup:
    """A moment; the page's script writes it in the reader's time zone."""
    iso = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    return Markup('<time datetime="{}" data-style="{}">{} UTC</time>').format(iso, style, iso[:16].replace("T", " "))
