"""`serve --share`: nobody is let in by accident, who comes by the tunnel is a guest with a guest's quotas, and a tunnel
that cannot be had is one sentence."""

from __future__ import annotations

import queue
from pathlib import Path

import gradio.networking
import httpx
import pytest

from app import tunnel
from app.backend.accounts import membership
from app.backend.errors import BadInput, Unavailable
from app.settings import ServerSettings
from app.startup import check_doors
from app.visitors import HEADER
from tests.api.house import serving
from tests.api.team import PASSWORD, log_in
from tests.doubles import settings

pytestmark = pytest.mark.anyio


def test_it_is_refused_where_whoever_comes_would_have_everything(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--accounts too.*--allow-guests"):
        check_doors(settings(tmp_path, server={"share": True}))
    check_doors(settings(tmp_path, server={"share": True, "allow_guests": True}))
    with pytest.raises(BadInput, match="user add"):
        check_doors(settings(tmp_path, server={"share": True, "mode": "accounts"}))


def test_without_the_internet_one_sentence_says_what_to_do_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*args: object) -> str:
        raise RuntimeError("Could not get share link from Gradio API Server.")

    monkeypatch.setattr(gradio.networking, "setup_tunnel", none)
    with pytest.raises(Unavailable, match=r"cannot be had.*runs on without it.*--host"):
        tunnel.open_tunnel(1)


def test_the_address_that_is_said_is_the_one_that_people_use(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def tunnel_to(*args: object) -> str:
        asked.append(args)
        return "http://0123456789abcdef.gradio.live"  # so says Gradio's client of its tunnel

    monkeypatch.setattr(gradio.networking, "setup_tunnel", tunnel_to)
    said: queue.Queue[str] = queue.Queue()
    for _ in range(2):
        tunnel.open_in_background(7861, said.put)
        line = said.get(timeout=30)
        assert "https://0123456789abcdef.gradio.live (Gradio's tunnel" in line
        assert "http://" not in line
    assert {args[:2] for args in asked} == {("127.0.0.1", 7861)}
    secrets = {str(args[2]) for args in asked}
    assert len(secrets) == 2
    assert all(len(secret) == 43 for secret in secrets)


def through(url: str, address: str = "203.0.113.7") -> httpx.AsyncClient:
    """Somebody behind the tunnel, as its server passes requests on: by its name, in plain http, with their address."""
    return httpx.AsyncClient(base_url=url, headers={"host": "abc.gradio.live", "x-forwarded-for": address})


async def ask(who: httpx.AsyncClient) -> httpx.Response:
    cookie = {"cookie": who.headers["cookie"]} if "cookie" in who.headers else {}
    made = await who.post("/api/conversations", headers=cookie)
    if made.status_code != 201:
        return made
    # A browser sends the cookie over https, which is what it sees; the client here sees http.
    who.headers["cookie"] = who.headers.get("cookie") or made.headers["set-cookie"].partition(";")[0]
    path = f"/api/conversations/{made.json()['id']}/ask"
    return await who.post(path, json={"question": "Who is there?", "pipeline": "direct"})


async def test_to_who_comes_through_the_tunnel_it_is_a_site_with_https(tmp_path: Path) -> None:
    doors = ServerSettings(share=True, allow_guests=True)
    async with serving(tmp_path, doors=doors) as served, through(served.url) as who:
        site = "https://abc.gradio.live"
        first = await who.post("/api/conversations", headers={"origin": site})  # a browser that tells no Sec-Fetch-Site
        assert first.status_code == 201, first.text
        assert "; Secure" in first.headers["set-cookie"]
        assert (await ask(who)).status_code == 202
        (line,) = (await who.get("/api/conversations")).json()["conversations"]
        shared = (await who.post(f"/api/conversations/{line['id']}/share", json={})).json()["url"]
        assert shared.startswith(f"{site}/s/")
        for other in ("https://evil.gradio.live", "http://abc.gradio.live", "https://abc.gradio.live.evil.example"):
            assert (await who.post("/api/conversations", headers={"origin": other})).status_code == 403
        sibling = {"origin": "https://evil.gradio.live", "sec-fetch-site": "same-site"}
        assert (await who.post("/api/conversations", headers=sibling)).status_code == 403
        for name in ("gradio.live", "abc.gradio.live.evil.example", "evil.example"):
            assert (await who.get("/api/conversations", headers={"host": name})).status_code == 421


async def test_guests_who_come_through_the_tunnel_have_the_quotas_of_guests(tmp_path: Path) -> None:
    quotas = {"guest": {"per_minute": 2}, "address": {"per_minute": 3}}
    doors = ServerSettings(share=True, allow_guests=True)
    async with (
        serving(tmp_path, doors=doors, quotas=quotas) as served,
        through(served.url) as one,
        through(served.url) as new,
        through(served.url, "198.51.100.9") as far,
    ):
        assert [(await ask(one)).status_code for _ in range(3)] == [202, 202, 429]
        assert [(await ask(new)).status_code for _ in range(2)] == [202, 429], "a new guest of the same network"
        assert (await ask(far)).status_code == 202
        assert [(await ask(served.guest)).status_code for _ in range(3)] == [202, 202, 429], "also at the machine"


async def test_with_accounts_who_comes_through_the_tunnel_logs_in_or_visits_a_demo(tmp_path: Path) -> None:
    doors = ServerSettings(share=True, mode="accounts")
    async with serving(tmp_path, doors=doors, quotas={"visitor": {"per_minute": 1}}) as served:
        membership.add(served.data / "colloquy.db", "Ann", "user", PASSWORD)
        async with through(served.url) as ann, through(served.url) as visitor:
            assert (await visitor.post("/api/conversations")).status_code == 401
            came = await log_in(ann, "Ann")
            assert (came.status_code, "; Secure" in came.headers["set-cookie"]) == (303, True)
            ann.headers["cookie"] = came.headers["set-cookie"].partition(";")[0]
            demo = {"name": "room", "title": "A room", "sides": [{"pipeline": "direct"}]}
            made = await ann.post("/api/demos", json=demo)
            assert made.json()["url"] == "https://abc.gradio.live/d/room"
            visitor.headers[HEADER] = (await visitor.get("/api/d/room")).json()["visitor"]
            asked = [await visitor.post("/api/d/room/questions", json={"question": "Well?"}) for _ in range(2)]
            assert [answer.status_code for answer in asked] == [202, 429]


async def test_who_comes_through_the_tunnel_is_a_guest_and_no_operator(tmp_path: Path) -> None:
    doors = ServerSettings(share=True, allow_guests=True)
    async with serving(tmp_path, doors=doors) as served, through(served.url) as who:
        assert (await who.get("/api/conversations")).status_code == 200
        assert (await who.get("/metrics")).status_code == 403
        assert (await who.post("/api/demos", json={"title": "T"})).status_code == 403


async def test_without_a_tunnel_its_name_is_not_ours(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        answer = await served.guest.get("/api/conversations", headers={"host": "abc.gradio.live"})
        assert answer.status_code == 421
