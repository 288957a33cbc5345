"""Nobody, a guest, a user, an admin: what each may do, and what outlives the server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from app.settings import Quota, ServerSettings
from tests.api.house import Served, error_of, serving
from tests.api.team import log_in, status

pytestmark = pytest.mark.anyio


async def test_nobody_gets_the_log_in_page_for_pages_and_401_for_the_rest(team: Served) -> None:
    page = await team.guest.get("/?c=1", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=%2F%3Fc%3D1")
    for path in ("/api/conversations", "/v1/retrieve", "/metrics", "/api/openapi.json", "/ui/generations/x/live"):
        refused = await team.guest.get(path)
        assert (refused.status_code, error_of(refused)["code"]) == (401, "unauthorized"), path
        assert refused.headers["www-authenticate"] == "Bearer"
    assert await status(team.guest, "/healthz") == await status(team.guest, "/login") == 200
    assert not team.guest.cookies


async def test_a_probe_is_told_how_the_server_is_whatever_key_it_carries(team: Served) -> None:
    revoked = {"authorization": "Bearer clq-revoked"}
    assert (await team.guest.get("/api/conversations", headers=revoked)).status_code == 401
    assert (await team.guest.get("/healthz", headers=revoked)).status_code == 200
    assert "engine" in (await team.guest.get("/readyz", headers=revoked)).json()


async def test_what_is_for_admins_is_closed_to_users(team: Served) -> None:
    await log_in(team.guest, "Ann")
    await log_in(team.other, "Root")
    assert (await status(team.guest, "/metrics"), await status(team.other, "/metrics")) == (403, 200)
    assert await status(team.guest, "/api/openapi.json") == 200, "a program is written from it, with one's own key"


async def test_without_accounts_who_sits_at_this_machine_operates_it_and_nobody_else(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        assert await status(served.guest, "/metrics") == 200
        assert await status(served.guest, "/login") == 404
        transport = httpx.ASGITransport(served.app, client=("192.0.2.7", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as stranger:
            assert await status(stranger) == 200
            assert await status(stranger, "/metrics") == 403


@pytest.mark.parametrize(
    "sent",
    [
        "HTTP/1.0",
        "HTTP/1.1\r\nX-Real-IP: 203.0.113.9",
        "HTTP/1.1\r\nX-Forwarded-Proto: https",
        "HTTP/1.1\r\nForwarded: for=203.0.113.9",
        "HTTP/1.1\r\nVia: 1.1 proxy",
    ],
)
async def test_what_a_proxy_on_this_machine_passes_on_operates_nothing(sent: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        host = served.url.removeprefix("http://").strip("/")
        for path, answer in (("/api/conversations", b" 200 "), ("/metrics", b" 403 ")):
            reader, writer = await asyncio.open_connection(*host.split(":"))
            writer.write(f"GET {path} {sent}\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            assert answer in await reader.readline(), path
            writer.close()


async def test_guests_beside_accounts_have_their_own_tight_quota_and_no_account_page(tmp_path: Path) -> None:
    async with serving(tmp_path, doors=ServerSettings(mode="accounts", allow_guests=True)) as served:
        await served.guest.get("/api/conversations")
        [owner] = [cookie.partition(".")[0] for cookie in served.guest.cookies.values()]
        quota_of = served.backend.accounts.quota_of
        assert quota_of(owner).per_day < quota_of("command-line").per_day
        assert (await served.guest.get("/account")).headers["location"] == "/login?next=/account"
        assert (await served.guest.post("/account/keys", data={"label": "x"})).status_code == 403
        await served.backend.accounts.set_quota(owner, Quota(per_day=7))
        assert quota_of(owner).per_day == 7
        await served.backend.accounts.set_banned(owner, True)
        refused = await served.guest.get("/api/conversations")
        assert (refused.status_code, error_of(refused)["code"]) == (403, "banned")
        assert await status(served.other) == 200
        await served.backend.accounts.set_banned(owner, False)
        assert await status(served.guest) == 200


async def test_bans_and_quotas_outlive_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.backend.accounts.set_quota("guest-a", Quota(running=2))
        await served.backend.accounts.set_banned("guest-b", True)
    async with serving(tmp_path) as served:
        assert served.backend.accounts.own_quotas() == {"guest-a": Quota(running=2)}
        assert served.backend.accounts.banned("guest-b")


async def test_an_address_that_nobody_decided_about_is_closed_to_everybody(team: Served) -> None:
    @team.app.get("/api/new")
    async def new() -> str:
        return "secret"

    await log_in(team.guest, "Root")
    assert await status(team.guest, "/api/new") == 404
