"""With accounts: how somebody comes in, and how fast that ends."""

from __future__ import annotations

import asyncio
from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import pwdlib
import pytest

from app.backend.accounts import membership
from app.identity import SESSION
from tests.api.house import Served, error_of, read_stream, serving
from tests.api.team import ACCOUNTS, PASSWORD, database, log_in, principal, status

pytestmark = pytest.mark.anyio


async def test_a_log_in_leads_to_what_was_wanted_and_nowhere_else(team: Served) -> None:
    assert (await log_in(team.guest, next="/?c=1")).headers["location"] == "/?c=1"
    for foreign in ("https://evil.test", "//evil.test", "/\\evil.test", "javascript:alert(1)", "/\t/evil.test", "evil"):
        async with httpx.AsyncClient(base_url=team.url) as client:
            assert (await log_in(client, next=foreign)).headers["location"] == "/", foreign


async def test_names_are_the_same_in_upper_and_lower_case_and_conversations_are_ones_own(team: Served) -> None:
    await log_in(team.guest, "ANN")
    made = (await team.guest.post("/api/conversations")).json()["id"]
    await log_in(team.other, "root")
    assert await status(team.guest, f"/api/conversations/{made}") == 200
    assert await status(team.other, f"/api/conversations/{made}") == 404


async def test_a_session_is_kept_from_scripts_and_is_another_one_after_each_log_in(team: Served) -> None:
    cookie = SimpleCookie((await log_in(team.guest)).headers["set-cookie"])[SESSION]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (True, "Lax", "/", "")
    before = team.guest.cookies[SESSION]
    await log_in(team.guest)
    assert team.guest.cookies[SESSION] != before
    assert await status(team.other, cookie=f"{SESSION}={before}") == 401, "the old one has ended"


async def test_over_https_the_session_is_for_https_only(team: Served) -> None:
    transport = httpx.ASGITransport(team.app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="https://localhost") as client:
        assert SimpleCookie((await log_in(client)).headers["set-cookie"])[SESSION]["secure"]


async def test_a_log_out_ends_the_session_not_only_the_cookie(team: Served) -> None:
    await log_in(team.guest)
    token = team.guest.cookies[SESSION]
    assert (await team.guest.post("/logout")).headers["location"] == "/login"
    assert SESSION not in team.guest.cookies
    assert await status(team.other, cookie=f"{SESSION}={token}") == 401


async def test_an_unknown_name_and_a_wrong_password_look_the_same_also_for_who_is_shut_out(
    team: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    membership.add(database(team), "Gone", "user", PASSWORD)
    membership.set_disabled(database(team), "Gone", True)
    verified: list[str] = []
    verify = pwdlib.PasswordHash.verify

    def watched(self: pwdlib.PasswordHash, password: str, against: str) -> bool:
        verified.append(against.rpartition("$")[0].rpartition("$")[0])  # the parameters without salt and hash
        return verify(self, password, against)

    monkeypatch.setattr(pwdlib.PasswordHash, "verify", watched)
    pages = []
    for name, password in (("Nobody", PASSWORD), ("Ann", "wrong wrong wrong"), ("Gone", "wrong wrong wrong")):
        answer = await log_in(team.guest, name, password)
        assert answer.status_code == 422
        assert "set-cookie" not in answer.headers
        pages.append(answer.text.replace(name, "NAME"))
    assert pages[0] == pages[1] == pages[2]
    assert len(verified) == 3, "the same work for each"
    assert len(set(verified)) == 1
    assert verified[0].startswith("$argon2id$")


async def test_who_is_shut_out_and_has_the_right_password_is_told_so(team: Served) -> None:
    membership.set_disabled(database(team), "Ann", True)
    answer = await log_in(team.guest)
    assert answer.status_code == 422
    assert "Whoever runs this server has closed it to you." in answer.text
    assert "set-cookie" not in answer.headers


async def test_guessing_is_slowed_down_by_name_and_by_address(team: Served) -> None:
    answers = [(await log_in(team.guest, "Ann", f"guess number {n}")).status_code for n in range(11)]
    assert answers == [422] * 10 + [429]
    refused = await log_in(team.guest)
    assert refused.status_code == 429, "also for the right password"
    assert int(refused.headers["retry-after"]) >= 1
    assert (await log_in(team.guest, "Root")).status_code == 303, "another name is not held up"
    answers = [(await log_in(team.other, f"name{n}", "guess")).status_code for n in range(20)]
    assert answers[-1] == 429, "many names from one address are"


async def test_a_disabled_account_is_out_at_its_next_request_whoever_disabled_it(team: Served) -> None:
    await log_in(team.guest)
    ann = await principal(team, "Ann")
    key = await team.backend.accounts.create_key(ann, "laptop")
    assert await status(team.guest) == await status(team.other, authorization=f"Bearer {key}") == 200
    membership.set_disabled(database(team), "Ann", True)  # as the command does, in another process
    assert await status(team.guest) == await status(team.other, authorization=f"Bearer {key}") == 401
    await team.backend.accounts.set_disabled(ann.id, False)
    assert await status(team.guest) == 401, "old sessions do not come back"
    assert await status(team.other, authorization=f"Bearer {key}") == 200


async def test_disabling_ends_what_the_account_is_reading(tmp_path: Path) -> None:
    never = asyncio.Event()
    async with serving(tmp_path, gate=never, doors=ACCOUNTS) as served:
        membership.add(tmp_path / "colloquy.db", "Ann", "user", PASSWORD)
        await log_in(served.guest)
        generation = await served.ask()
        async with served.guest.stream("GET", f"/api/generations/{generation}/events") as response:
            lines = read_stream(response.aiter_lines())
            await anext(lines)
            membership.set_disabled(tmp_path / "colloquy.db", "Ann", True)
            async with asyncio.timeout(30):
                kinds = [line.kind async for line in lines if not isinstance(line, str)]
        assert not {"done", "stopped", "failed"} & set(kinds)


async def test_a_form_of_another_site_is_refused(team: Served) -> None:
    await log_in(team.guest)
    for headers in ({"origin": "https://evil.test"}, {"origin": "null"}, {"sec-fetch-site": "same-site"}):
        for path in ("/account/keys", "/logout", "/login"):
            refused = await team.guest.post(path, data={"label": "x"}, headers=headers)
            assert (refused.status_code, error_of(refused)["code"]) == (403, "forbidden")
    assert await status(team.guest) == 200
