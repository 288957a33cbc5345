"""Every address of every application, tried by each kind of caller: what is not meant for them is not there for them.

A new address is closed until it is listed in `addresses.py`, and an address that opens without being listed fails.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute, Mount, Route

from app import policy, ui
from app.backend.accounts import membership
from app.backend.engines.scripted import ScriptedEngine
from app.backend.pipelines.registry import create_registry
from app.backend.service import Backend
from app.backend.storage.database import Database
from app.backend.throttle import Throttle
from app.identity import load_identity
from app.security import CONTENT_SECURITY_POLICY
from app.server import create_app
from app.ui.actions import Request
from tests.doubles import Shelf, settings
from tests.isolation.addresses import ACTIONS, BODIES, FILES, NOT_BY_THE_ALLOWED, OPEN

pytestmark = pytest.mark.anyio

Answer = Literal["in", "log in", "forbidden", "not there"]

NEVER = "0" * 32
GUARDS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

MODES: Mapping[str, dict[str, object]] = {
    "one machine": {},
    "guests beyond it": {"hosts": ["localhost"], "allow_guests": True},
    "accounts": {"mode": "accounts"},
    "accounts and guests": {"mode": "accounts", "allow_guests": True},
}


@dataclass
class Site:
    """A whole server with its interface, and one client for each kind of caller."""

    mode: str
    app: FastAPI
    interface: FastAPI
    callers: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    @property
    def guests(self) -> bool:
        return self.mode != "accounts"

    @property
    def accounts(self) -> bool:
        return "accounts" in self.mode

    async def own(self, client: httpx.AsyncClient) -> dict[str, str]:
        """A new conversation with an answer, and the ids in it."""
        talk = (await client.post("/api/conversations")).json()["id"]
        asked = {"question": "What is RAG?", "pipeline": "direct"}
        ticket = await client.post(f"/api/conversations/{talk}/ask", json=asked)
        assert ticket.status_code == 202, ticket.text
        ids = ticket.json()
        await client.get(f"/api/generations/{ids['generation_id']}/events")
        share = (await client.post(f"/api/conversations/{talk}/share", json=BODIES["share"])).json()["id"]
        made = {"conversation_id": talk, "generation_id": ids["generation_id"], "turn_id": ids["turn_id"]}
        return {**made, "share_id": share}

    async def compared(self, client: httpx.AsyncClient) -> dict[str, str]:
        """A new comparison with its answers, and the ids in it."""
        ticket = await client.post("/api/compare", json=BODIES["compare"])
        assert ticket.status_code == 202, ticket.text
        ids = ticket.json()
        for generation in ids["generation_ids"]:
            await client.get(f"/api/generations/{generation}/events")
        return {"comparison_id": ids["comparison_id"], "letter": "a"}

    async def batched(self, client: httpx.AsyncClient) -> dict[str, str]:
        """A new batch, and its id."""
        begun = await client.post("/api/batches", json=BODIES["batches"])
        assert begun.status_code == 202, begun.text
        return {"batch_id": begun.json()["id"]}


@asynccontextmanager
async def standing(folder: Path, mode: str) -> AsyncIterator[Site]:
    quota = {"running": 64, "queued": 64, "per_minute": 10_000, "per_day": 100_000}
    address = {"live": 100, "per_minute": 10_000, "per_day": 100_000}
    quotas = {"guest": quota, "user": quota, "admin": quota, "address": address}
    chosen = settings(folder, server=dict(MODES[mode]), quotas=quotas)
    engine = ScriptedEngine(tokens_per_s=0)
    backend = Backend(chosen, Database(folder / "colloquy.db"), engine, Shelf(), create_registry(chosen))
    interfaces: list[FastAPI] = []

    def mount(app: FastAPI) -> None:
        ui.mount(app, backend, chosen, load_identity(folder))
        interfaces.append(app)

    app = create_app(chosen, backend=backend, mount=mount)
    async with AsyncExitStack() as stack:
        bounds = stack.enter_context(pytest.MonkeyPatch.context())
        bounds.setattr("app.backend.batches.service.GUEST_BATCHES", 1_000)
        bounds.setattr(backend.batches, "_guests_begun", Throttle(1_000, 1.0))
        await stack.enter_async_context(app.router.lifespan_context(app))

        async def arrive() -> httpx.AsyncClient:
            transport = httpx.ASGITransport(app)
            client = httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60)
            return await stack.enter_async_context(client)

        nobody = await arrive()
        while (await nobody.get("/readyz")).json()["interface"] != "ready":
            await asyncio.sleep(0.05)
        site = Site(mode, app, interfaces[0], {"nobody": nobody, "owner": await arrive(), "other": await arrive()})
        if site.accounts:
            site.callers["admin"] = await arrive()
            for name in ("owner", "other", "admin"):
                membership.add(folder / "colloquy.db", name, "admin" if name == "admin" else "user", "correct horse")
                entered = await site.callers[name].post("/login", data={"name": name, "password": "correct horse"})
                assert entered.status_code == 303, entered.text
        else:
            for name in ("owner", "other"):
                await site.callers[name].get("/api/conversations")
        yield site


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=sorted(MODES), scope="module")
async def site(
    anyio_backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    async with standing(tmp_path_factory.mktemp("site"), request.param) as site:
        yield site


def addresses(routes: Sequence[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Every method and path, also of what is mounted."""
    for route in routes:
        if isinstance(route, Mount):
            yield from addresses(route.routes)
        elif isinstance(route, Route):
            yield from ((method, route.path) for method in route.methods or ())
        else:
            inner = getattr(route, "original_router", None) or getattr(route, "router", None)
            assert inner is not None, f"{route!r} is a kind of route that this walk does not know"
            yield from addresses(inner.routes)


def walked(site: Site) -> list[tuple[str, str]]:
    """All there is, and a few addresses that Gradio or FastAPI have under other settings or names."""
    known = {*addresses(site.app.routes), *addresses(site.interface.routes)}
    guessed = ("/docs", "/redoc", "/openapi.json", "/gradio_api/anything", "/gradio_api/upload/", "/metrics/", "/x")
    return sorted(known | {(method, path) for method in ("GET", "POST") for path in guessed})


def expected(site: Site, method: str, path: str, caller: str) -> Answer:
    kind = OPEN.get(path)
    if kind is None or (path.startswith(("/account", "/login", "/logout", "/join")) and not site.accounts):
        return "not there"
    if kind == "public":
        return "in"
    if kind == "linked":
        return "not there"
    if caller == "nobody" and not site.guests:
        return "log in"
    if caller == "nobody" and kind == "members'":
        return "log in" if method == "GET" else "forbidden"
    if kind in ("publishers'", "published"):
        if site.mode == "guests beyond it" or (caller == "nobody" and site.accounts):
            return "log in" if path == "/demos" and site.accounts else "forbidden"
        return "in" if kind == "publishers'" else "not there"
    if kind == "own":
        return "in" if caller == "owner" else "not there"
    if kind == "operators'":
        return "in" if caller == "admin" or site.mode == "one machine" else "forbidden"
    return "in"


def got(answer: httpx.Response) -> Answer:
    match answer.status_code:
        case 401:
            return "log in"
        case 303 if answer.headers["location"].startswith("/login"):
            return "log in"
        case 403:
            return "forbidden"
        case 404:
            return "not there"
        case _:
            assert answer.status_code < 500, answer.text
            return "in"


async def test_each_address_answers_each_caller_as_it_should_and_guarded(site: Site) -> None:
    tried = set()
    for method, path in walked(site):
        for caller, client in site.callers.items():
            wanted = expected(site, method, path, caller)
            operates = OPEN.get(path) == "operators'" and method not in ("GET", "HEAD")
            if wanted == "in" and (operates or path in NOT_BY_THE_ALLOWED | FILES):
                continue
            if caller == "nobody":
                client.cookies.clear()
            has_ids = "_id}" in path and OPEN.get(path) in ("own", "operators'")
            make = site.compared if "{comparison_id}" in path else site.batched if "{batch_id}" in path else site.own
            ids = await make(site.callers["owner"]) if has_ids else {}
            answer = await client.request(method, filled(path, ids), json=body(method, path, ids))
            assert got(answer) == wanted, (caller, method, path, answer.text)
            assert GUARDS.items() <= dict(answer.headers).items(), (caller, method, path)
            tried.add((method, path))
    assert len(tried) > 80
    assert {path for _, path in tried} >= {path for path, kind in OPEN.items() if kind == "own"}


async def test_what_the_policy_opens_is_listed_here() -> None:
    assert set(policy.AUDIENCES) == set(OPEN)


async def test_gradio_has_no_handler_that_its_queue_could_run(site: Site) -> None:
    page = await site.callers["owner"].get("/")
    config = json.loads(page.text.partition("window.gradio_config = ")[2].partition(";</script>")[0])
    assert config["dependencies"] == []
    assert config["components"]


async def test_a_session_hash_is_worth_nothing_and_none_is_kept(site: Site) -> None:
    for caller in ("owner", "other"):
        joined = await site.callers[caller].post(
            "/gradio_api/queue/join", json={"data": [], "fn_index": 0, "session_hash": "known"}
        )
        assert got(joined) == "not there"
        for path in ("queue/data?session_hash=known", "heartbeat/known"):
            assert got(await site.callers[caller].get(f"/gradio_api/{path}")) == "not there"
        for path in ("cancel", "reset"):
            end = {"session_hash": "known", "fn_index": 0, "event_id": "known"}
            assert got(await site.callers[caller].post(f"/gradio_api/{path}", json=end)) == "not there"
    for n in range(3):
        await call(site.callers["owner"], {"do": "list"}, session_hash=f"made up {n}")
    [mounted] = [route.app for route in site.interface.routes if isinstance(route, Mount)]
    assert not mounted.state_holder.session_data


async def call(client: httpx.AsyncClient, data: object, **fields: object) -> httpx.Response:
    """What the page's script sends."""
    sent = {"fn_name": "act", "component_id": 1, "session_hash": "known", "data": data, **fields}
    return await client.post("/gradio_api/component_server/", json=sent)


async def test_every_call_of_the_page_is_walked_too(site: Site) -> None:
    assert set(ACTIONS) == set(get_args(Request.model_fields["do"].annotation))
    never = {"conversation_id": NEVER, "generation_id": NEVER, "turn_id": NEVER}
    for do, names in ACTIONS.items():
        ids = await site.own(site.callers["owner"])
        owned = NEVER in names(never).values()
        if owned and site.mode == "accounts":
            assert got(await call(site.callers["nobody"], {"do": do, **names(ids)})) == "log in"
        if owned:
            answers = []
            for which in (ids, never):
                answers.append((await call(site.callers["other"], {"do": do, **names(which)})).json())
                assert answers[-1]["error"].pop("id"), "each error has its own"
            assert answers[0] == answers[1]
            assert answers[0]["error"]["code"] == "not_found", do
        mine = await call(site.callers["owner"], {"do": do, **names(ids)})
        assert "error" not in mine.json(), (do, mine.text)


def filled(path: str, ids: Mapping[str, str]) -> str:
    path = path.replace("{part}", "now").replace("{name}", "style.css")
    return re.sub(r"\{(\w+)[^}]*\}", lambda mark: ids.get(mark[1], NEVER), path)


def body(method: str, path: str, ids: Mapping[str, str]) -> object:
    if method in ("GET", "HEAD", "OPTIONS", "DELETE"):
        return None
    last = path.rsplit("/", 1)[-1]
    found = BODIES.get(last, BODIES.get(method, {}))
    return {key: ids.get("turn_id", value) if key == "turn_id" else value for key, value in found.items()}
