"""Demos over HTTP: publish, list, change, switch off and delete one's own; visit, ask and read as a visitor.

Invariant: a visitor is who the signed token says, and without one somebody new; to a visitor a demo that is unknown,
switched off or over is the same 404.
"""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request

from app.api import demo_schemas as schemas
from app.api.access import ERRORS, FULL, Address, Caller
from app.api.errors import HttpError, fields
from app.backend.demos.records import Demo, DemoLine
from app.backend.demos.service import Demos
from app.visitors import HEADER, Visitors


def publisher(caller: Caller) -> str:
    """Who may publish: somebody with an account, or whoever sits at a machine that serves only itself."""
    if caller.role == "guest":
        raise HttpError(403, "forbidden", "Publishing a demo needs an account; log in first.")
    return caller.id


def link(request: Request, name: str) -> str:
    """The whole address of a demo, by the name that its publisher calls this server by."""
    return f"{request.base_url}d/{name}"


Publisher = Annotated[str, Depends(publisher)]
Token = Annotated[str, Header(alias=HEADER, max_length=200, description="who you are in this demo")]


def routes(demos: Demos, visitors: Visitors) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["demos"], responses=ERRORS)

    async def shown(demo: Demo, request: Request) -> schemas.DemoOut:
        lines = await demos.listing(demo.owner)
        line = next((line for line in lines if line.demo.id == demo.id), DemoLine(demo, 0, 0))
        return schemas.DemoOut.of(line, link(request, demo.setup.name), time.time())

    @router.post("/demos", status_code=201)
    async def publish(owner: Publisher, request: Request, demo: schemas.DemoIn) -> schemas.DemoOut:
        """Publish a set-up under a link that whoever has it may use, without an account."""
        with fields():
            made = await demos.publish(owner, demo.new())
        if demo.on is False:
            made = await demos.change(owner, made.id, on=False)
        return await shown(made, request)

    @router.get("/demos")
    async def listing(owner: Publisher, request: Request) -> list[schemas.DemoOut]:
        """Your demos, newest first."""
        now = time.time()
        return [
            schemas.DemoOut.of(line, link(request, line.demo.setup.name), now) for line in await demos.listing(owner)
        ]

    @router.get("/demos/{demo_id}")
    async def read(owner: Publisher, request: Request, demo_id: str) -> schemas.DemoOut:
        """One of your demos."""
        return await shown(await demos.get(owner, demo_id), request)

    @router.patch("/demos/{demo_id}")
    async def change(owner: Publisher, request: Request, demo_id: str, patch: schemas.DemoPatch) -> schemas.DemoOut:
        """Change a demo, or switch it off or on."""
        before = await demos.get(owner, demo_id)
        setup = patch.setup(before.setup) if patch.changes_setup else None
        with fields():
            return await shown(await demos.change(owner, demo_id, setup, patch.on), request)

    @router.delete("/demos/{demo_id}", status_code=204)
    async def delete(owner: Publisher, demo_id: str) -> None:
        """Delete a demo with all that its visitors asked."""
        await demos.delete(owner, demo_id)

    @router.get("/demos/{demo_id}/questions")
    async def board(owner: Publisher, demo_id: str) -> schemas.BoardOut:
        """What visitors asked, newest first, and the counts."""
        return schemas.BoardOut.of(await demos.board(owner, demo_id))

    @router.patch("/demos/{demo_id}/questions/{question_id}", status_code=204)
    async def hide(owner: Publisher, demo_id: str, question_id: str, to: schemas.HideIn) -> None:
        """Take a question off the presenter's screen, or put it back."""
        await demos.hide(owner, demo_id, question_id, to.hidden)

    @router.get("/d/{name}")
    async def visit(name: str, token: Token = "") -> schemas.CardOut:
        """A demo, for its visitors."""
        demo = await demos.by_name(name)
        return schemas.CardOut.of(demo, visitors.token(demo, visitors.met(demo, token)))

    @router.post("/d/{name}/questions", status_code=202, responses=FULL)
    async def ask(name: str, address: Address, asked: schemas.DemoAskIn, token: Token = "") -> schemas.DemoTicketOut:
        """Ask a demo."""
        demo = await demos.by_name(name)
        visitor = visitors.met(demo, token)
        stored = await demos.ask(name, visitor, asked.question, address)
        return schemas.DemoTicketOut(
            question_id=stored.id,
            generation_ids=list(stored.generation_ids),
            visitor=visitors.token(demo, visitor),
        )

    @router.get("/d/{name}/questions")
    async def own(name: str, token: Token = "") -> list[schemas.OwnQuestionOut]:
        """What you asked this demo, with the answers as they are now."""
        demo = await demos.by_name(name)
        asked = await demos.own(demo, visitors.met(demo, token))
        return [schemas.OwnQuestionOut.of(question, await demos.answers(demo, question)) for question in asked]

    @router.post("/d/{name}/questions/{question_id}/vote", status_code=204)
    async def vote(name: str, question_id: str, voted: schemas.DemoVoteIn, token: Token = "") -> None:
        """Say once which answer to a question of yours was best. It does not count on the leaderboard."""
        demo = await demos.by_name(name)
        await demos.vote(demo, visitors.met(demo, token), question_id, voted.winner)

    @router.post("/d/{name}/generations/{generation_id}/stop", status_code=204)
    async def stop(name: str, generation_id: str, token: Token = "") -> None:
        """End a running answer of yours; it keeps what it has."""
        demo = await demos.by_name(name)
        await demos.stop(demo, visitors.met(demo, token), generation_id)

    return router
